/** Parsing what a socket brings, without a buffer in between: the parser names the memory that comes next. */

/**
 * Yields the buffer that it wants filled, and goes on when it is full. It throws `Violation` when what it was given can't
 * be right. It runs to its end within the call that brings the last byte, so what it holds is never older than the wire.
 */
export type Parser<Result = void> = Generator<Uint8Array, Result, undefined>;

/** The peer does what the protocol forbids, or what this side doesn't take. */
export class Violation extends Error {}

/** The next `length` bytes. */
export function* take(length: number): Parser<Buffer> {
  const bytes = Buffer.allocUnsafe(length);
  yield bytes;
  return bytes;
}

/** Passes over bytes, however many. */
export function* skip(length: number): Parser {
  const scratch = Buffer.allocUnsafe(Math.min(length, 64 * 1024));
  for (let left = length; left > 0; left -= scratch.length) yield scratch.subarray(0, left);
}

/** Runs a parser on the chunks of a stream as they come. */
export class Inflow {
  readonly #parser: Parser;
  #wanted: Uint8Array;
  #filled = 0;
  #waiting: Uint8Array = new Uint8Array(0);
  #held = false;
  #done = false;

  constructor(parser: Parser) {
    this.#parser = parser;
    this.#wanted = new Uint8Array(0);
  }

  /** Whether the parser has come to its end: what follows is dropped. */
  get done(): boolean {
    return this.#done;
  }

  /** Hands a chunk to the parser. While held, it is kept instead. Throws what the parser throws. */
  feed(chunk: Uint8Array): void {
    if (this.#held) {
      this.#waiting = this.#waiting.length === 0 ? Buffer.from(chunk) : Buffer.concat([this.#waiting, chunk]);
      return;
    }
    let at = 0;
    for (;;) {
      while (this.#filled === this.#wanted.length) {
        if (!this.#advance()) return;
        if (this.#held) {
          this.#waiting = Buffer.from(chunk.subarray(at));
          return;
        }
      }
      if (at === chunk.length) return;
      const length = Math.min(this.#wanted.length - this.#filled, chunk.length - at);
      this.#wanted.set(chunk.subarray(at, at + length), this.#filled);
      this.#filled += length;
      at += length;
    }
  }

  /** Stops the parser after the step that it is at. */
  hold(): void {
    this.#held = true;
  }

  /** Goes on with what has been kept. Throws what the parser throws. */
  release(): void {
    this.#held = false;
    const waiting = this.#waiting;
    this.#waiting = new Uint8Array(0);
    this.feed(waiting);
  }

  #advance(): boolean {
    if (this.#done) return false;
    const step = this.#parser.next();
    this.#done = step.done === true;
    if (step.done === true) return false;
    this.#wanted = step.value;
    this.#filled = 0;
    return true;
  }
}
