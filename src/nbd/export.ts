import type { Extent } from "./replies.ts";

/** What a server offers: a read-only disk. */
export interface NbdExport {
  /** At most 4096 bytes of UTF-8; what a client asks for. */
  readonly name: string;
  /** For people. */
  readonly description: string;
  /** In bytes. */
  readonly size: number;
  /**
   * `length` bytes from `offset` on, which lie within the size; undefined when all of them are zero. Called again before earlier calls
   * are done. What it returns must not change any more. Whatever it throws reaches the client as EIO, with the message.
   */
  read(offset: number, length: number, signal: AbortSignal): Promise<Uint8Array | undefined>;
  /** Extents of `base:allocation` from `offset` on, at least one; as far as is quickly known, at most `length` bytes. */
  extents(offset: number, length: number, signal: AbortSignal): Promise<readonly Extent[]>;
}
