/** Reads a stream's bytes in order: large pieces at once, and single values from what has been read. */
import { streamInvalid } from "./saved-state.ts";

/** Fills `target` from `position` on, and says with how many bytes: fewer only at the end. */
export type ReadAt = (target: Buffer, position: number) => Promise<number>;

export class StreamReader {
  readonly #readAt: ReadAt;
  /** What was read last. */
  readonly buffer: Buffer;
  /** The next byte in `buffer`, and the end of what is in it. */
  at = 0;
  #filled = 0;
  /** Where `buffer` begins in the stream. */
  #start: number;

  constructor(readAt: ReadAt, options: { readonly from?: number; readonly piece: number }) {
    this.#readAt = readAt;
    this.#start = options.from ?? 0;
    this.buffer = Buffer.allocUnsafeSlow(options.piece);
  }

  /** A reader of bytes that are there already. */
  static async of(bytes: Uint8Array): Promise<StreamReader> {
    const reader = new StreamReader(
      (target, position) => {
        const rest = bytes.subarray(position, position + target.length);
        target.set(rest);
        return Promise.resolve(rest.length);
      },
      { piece: Math.max(1, bytes.length) },
    );
    await reader.fill(bytes.length);
    return reader;
  }

  /** Of the next byte, in the stream. */
  get offset(): number {
    return this.#start + this.at;
  }

  /** Bytes that can be taken without reading. */
  get available(): number {
    return this.#filled - this.at;
  }

  /** Makes `wanted` bytes available, at most the buffer's length; fewer only at the stream's end. */
  async fill(wanted: number): Promise<void> {
    if (this.available >= wanted) return;
    this.buffer.copyWithin(0, this.at, this.#filled);
    this.#start += this.at;
    this.#filled -= this.at;
    this.at = 0;
    while (this.#filled < wanted) {
      const got = await this.#readAt(this.buffer.subarray(this.#filled), this.#start + this.#filled);
      if (got === 0) return;
      this.#filled += got;
    }
  }

  /** Goes past `length` bytes, which must be available, and returns where in `buffer` they begin. */
  skip(length: number): number {
    const { at } = this;
    if (this.#filled - at < length) throw streamInvalid(`it ends in the middle, at byte ${this.#start + this.#filled}`);
    this.at = at + length;
    return at;
  }

  u8(): number {
    const at = this.skip(1);
    return this.buffer[at] as number;
  }

  u32(): number {
    return this.buffer.readUInt32BE(this.skip(4));
  }

  /** Throws `stream_invalid` for a number that isn't safe in JavaScript: no length or address is so large. */
  u64(): number {
    const at = this.skip(8);
    const high = this.buffer.readUInt32BE(at);
    if (high >= 2 ** 21) throw streamInvalid(`it has an absurd number at byte ${this.#start + at}`);
    return high * 2 ** 32 + this.buffer.readUInt32BE(at + 4);
  }

  /** As Latin-1. */
  text(length: number): string {
    const at = this.skip(length);
    return this.buffer.toString("latin1", at, at + length);
  }

  /** Goes past `bytes` if they come next. */
  takes(bytes: Buffer): boolean {
    const { at, available } = this;
    if (available < bytes.length || bytes.compare(this.buffer, at, at + bytes.length) !== 0) return false;
    this.at = at + bytes.length;
    return true;
  }

  peek(): number | undefined {
    return this.available > 0 ? this.buffer[this.at] : undefined;
  }
}
