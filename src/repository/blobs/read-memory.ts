/**
 * Memory for what is read of packs, used over and over. Shared between threads, since for one of them another may do the reading: so
 * nothing is copied from thread to thread; and V8 doesn't count shared memory, where every 16 MiB of other memory that comes to a
 * thread make it collect its whole heap.
 */
import { release } from "../../host/release.ts";

export class ReadMemory {
  /** Of each piece, in bytes. */
  readonly #usual: number;
  readonly #spare: SharedArrayBuffer[] = [];

  /** `usual`: the longest read, in bytes. */
  constructor(usual: number) {
    this.#usual = usual;
  }

  /** Memory of that length; none for a read that would waste most of it. */
  take(length: number): Buffer<SharedArrayBuffer> | undefined {
    if (length > this.#usual || length < this.#usual / 2) return undefined;
    return Buffer.from(this.#spare.pop() ?? new SharedArrayBuffer(this.#usual), 0, length);
  }

  /** Nothing of what was read may be used any more, wherever it is. */
  giveBack(bytes: Buffer): void {
    if (bytes.buffer instanceof SharedArrayBuffer) this.#spare.push(bytes.buffer);
    else release(bytes);
  }
}

/** Of whoever reads too seldom to keep any. */
export const noMemory = new ReadMemory(0);
