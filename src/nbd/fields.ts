import { longestString } from "./protocol.ts";

/** The data of an option, field by field; not `complete` when a length leads outside or something is left. */
export class Fields {
  readonly #data: Buffer;
  #at = 0;
  #broken = false;

  constructor(data: Buffer) {
    this.#data = data;
  }

  get complete(): boolean {
    return !this.#broken && this.#at === this.#data.length;
  }

  string(): Buffer | undefined {
    const length = this.#take(4)?.readUInt32BE(0);
    return length === undefined || length > longestString ? this.#breakOff() : this.#take(length);
  }

  strings(): Buffer[] {
    const found: Buffer[] = [];
    const count = this.#take(4)?.readUInt32BE(0) ?? 0;
    while (found.length < count && !this.#broken) found.push(this.string() ?? Buffer.alloc(0));
    return found;
  }

  list16(): number[] {
    const bytes = this.#take(2 * (this.#take(2)?.readUInt16BE(0) ?? 0)) ?? Buffer.alloc(0);
    return Array.from({ length: bytes.length / 2 }, (_, index) => bytes.readUInt16BE(2 * index));
  }

  #take(length: number): Buffer | undefined {
    if (this.#broken || this.#at + length > this.#data.length) return this.#breakOff();
    this.#at += length;
    return this.#data.subarray(this.#at - length, this.#at);
  }

  #breakOff(): undefined {
    this.#broken = true;
  }
}
