/**
 * Memory for packs on their way to a storage. Each takes over what one before it has left: fresh memory costs a fault for each of
 * its pages. Shared memory, which V8 doesn't count: each of another kind makes it collect the whole heap; and a thread's packs go to
 * whoever stores them without being copied.
 */
import { release } from "../../host/release.ts";

/** A pack's bytes in the order in which they come. What isn't filled takes no memory the first time. */
export class PackBytes {
  readonly memory: Buffer;
  #used = 0;

  constructor(memory: Buffer) {
    this.memory = memory;
  }

  /** In bytes. */
  get length(): number {
    return this.#used;
  }

  /** Whether there is room for so many bytes more. */
  fits(length: number): boolean {
    return this.#used + length <= this.memory.length;
  }

  /** Room for the next `length` bytes, all of which must be filled. */
  append(length: number): Buffer {
    if (!this.fits(length)) throw new RangeError(`no room for ${String(length)} bytes more in a pack`);
    this.#used += length;
    return this.memory.subarray(this.#used - length, this.#used);
  }

  /** Everything appended, and `end`: in one piece where there is room for it, which no storage has to join. */
  endedBy(end: Buffer): readonly Buffer[] {
    if (!this.fits(end.length)) return [this.memory.subarray(0, this.#used), end];
    end.copy(this.memory, this.#used);
    return [this.memory.subarray(0, this.#used + end.length)];
  }
}

/** One for all writers of a thread: what they dropped would stay until V8 collects for another reason. */
export class PackMemory {
  /** Of each pack but an unusually large one, in bytes. */
  readonly #usual: number;
  readonly #spare: Buffer[] = [];

  constructor(usual: number) {
    this.#usual = usual;
  }

  /** For a pack of at least that many bytes. */
  take(length: number): PackBytes {
    if (length > this.#usual) return new PackBytes(Buffer.allocUnsafeSlow(length));
    return new PackBytes(this.#spare.pop() ?? Buffer.from(new SharedArrayBuffer(this.#usual)));
  }

  /** Nothing of the pack may be used any more. */
  giveBack({ memory }: PackBytes): void {
    if (memory.length === this.#usual) this.#spare.push(memory);
    else release(memory);
  }
}
