/**
 * Whether the daemon gets on with what only it can do. What stands still here is helped by a new process; what isn't, such as a
 * dead replica, is no sign of death (docs/decisions/0040-when-systemd-restarts.md).
 */
import type { Clock } from "../host/clock.ts";
import type { Files } from "../host/files.ts";
import type { Scheduler } from "./scheduler.ts";

/** Who stands still for this long, in ms, isn't well. */
const longestSilence = 60_000;

export interface SignsOfLifeOptions {
  readonly scheduler: Pick<Scheduler, "sinceTick">;
  readonly files: Pick<Files, "stat">;
  readonly clock: Clock;
}

export class SignsOfLife {
  readonly #options: SignsOfLifeOptions;
  /** Since when a file operation is under way, by the monotonic clock. */
  #asked: number | undefined;

  constructor(options: SignsOfLifeOptions) {
    this.#options = options;
  }

  /** Sees whether operations on files still get done. To be called again and again; returns at once. */
  probe(): void {
    if (this.#asked !== undefined) return;
    this.#asked = this.#options.clock.monotonic();
    const answered = (): void => {
      this.#asked = undefined;
    };
    // Needs no disk, and one of the threads that serve all files of the process: dead mounts may hold every one of them.
    this.#options.files.stat("/proc/self").then(answered, answered);
  }

  /** What stands still, as sentences; empty when all is well. */
  get standstills(): readonly string[] {
    const { scheduler, clock } = this.#options;
    const waiting = this.#asked === undefined ? 0 : clock.monotonic() - this.#asked;
    return [
      ...(scheduler.sinceTick < longestSilence ? [] : ["The schedule stands still."]),
      ...(waiting < longestSilence ? [] : ["No file can be opened: everything waits for disks that don't answer."]),
    ];
  }
}
