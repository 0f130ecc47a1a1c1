/** Bytes in the order in which they come, in pieces, so that a pack that has just been begun takes little memory. */
import { release } from "../../host/release.ts";

/** In bytes. */
const usualPiece = 1024 * 1024;

export class Pieces {
  /** In bytes. */
  length = 0;
  readonly #full: Buffer[] = [];
  #piece: Buffer = Buffer.alloc(0);
  #used = 0;

  /** Room for the next `length` bytes, all of which must be filled. */
  append(length: number): Buffer {
    if (this.#used + length > this.#piece.length) {
      this.#full.push(this.#piece.subarray(0, this.#used));
      this.#piece = Buffer.allocUnsafeSlow(Math.max(usualPiece, length));
      this.#used = 0;
    }
    const room = this.#piece.subarray(this.#used, this.#used + length);
    this.#used += length;
    this.length += length;
    return room;
  }

  /** Everything appended. */
  get all(): readonly Buffer[] {
    return [...this.#full, this.#piece.subarray(0, this.#used)];
  }

  /** Gives the memory back: nothing of it may be used any more. */
  release(): void {
    for (const piece of [...this.#full, this.#piece]) release(piece);
  }
}
