/** What the watchdog is told (watchdog.ts), by messages between processes. It answers each with one message, once it is so. */

export interface WatchdogSettings {
  /** Path of the QMP socket. */
  readonly socket: string;
  readonly spool: string;
  readonly guestAgent?: string;
  /** The QEMU process. */
  readonly pid: number;
  readonly startTime: string;
}

export type ToWatchdog =
  | { readonly kind: "watch"; readonly settings: WatchdogSettings }
  /** The guest is about to be paused, for at most `limit` ms. */
  | { readonly kind: "begin"; readonly limit: number }
  /** It runs again. */
  | { readonly kind: "end" }
  /** Nothing is left to watch for: end. Without this, the end of the connection means that the capture was killed. */
  | { readonly kind: "done" };
