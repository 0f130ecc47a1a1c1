/** Cuts a stream into packets, wherever its chunks end. */

import { longestPacket, Violation } from "./protocol.ts";

const lengthSize = 4;

export class PacketReader {
  readonly #head = Buffer.alloc(lengthSize);
  /** Every packet in turn: what it holds is overwritten by the next. */
  readonly #packet = Buffer.allocUnsafeSlow(longestPacket);
  /** Of the packet that has begun; undefined while its length itself is incomplete. */
  #length: number | undefined;
  #filled = 0;

  /**
   * The packets that `chunk` completes, without their lengths. Each is valid until the next is asked for. Whatever comes,
   * no more than one packet of the greatest length is kept.
   *
   * @throws Violation for a length that no packet has; the stream is of no use from there on
   */
  *take(chunk: Buffer): Generator<Buffer, void, void> {
    let at = 0;
    while (at < chunk.length) {
      const into = this.#length === undefined ? this.#head : this.#packet.subarray(0, this.#length);
      const copied = chunk.copy(into, this.#filled, at);
      at += copied;
      this.#filled += copied;
      if (this.#filled < into.length) return;
      this.#filled = 0;
      if (this.#length === undefined) {
        this.#length = lengthOf(this.#head);
      } else {
        this.#length = undefined;
        yield into;
      }
    }
  }
}

function lengthOf(head: Buffer): number {
  const length = head.readUInt32BE();
  if (length > 0 && length <= longestPacket) return length;
  const text = head.toString("latin1");
  if (head.every(isText)) throw new Violation(`it sent text (${JSON.stringify(text)}…) where a packet should begin`);
  throw new Violation(`it announced a packet of ${length} bytes`);
}

/** Printable ASCII, or what ends a line. */
function isText(byte: number): boolean {
  return (byte >= 0x20 && byte < 0x7f) || byte === 0x0a || byte === 0x0d;
}
