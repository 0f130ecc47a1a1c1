/** Attributes in packets, and taking the fields of packets apart without trust. */

import { u32 } from "../../../host/big-endian.ts";
import { attributeFlags, Violation } from "./protocol.ts";

/** Attributes that give a mode and nothing else; without a mode, none at all. */
export function attributes(mode?: number): Buffer {
  return mode === undefined ? u32(0) : Buffer.concat([u32(attributeFlags.permissions), u32(mode)]);
}

/** What is known of a file; a server may leave any of it out. */
export interface Attributes {
  /** In bytes. */
  readonly size: number | undefined;
  /** Its kind and permissions, as POSIX has them. */
  readonly mode: number | undefined;
  /** When its content changed last, in seconds since the epoch. */
  readonly time: number | undefined;
}

/** Takes fields from a packet, one after the other. Each throws `Violation` when the packet ends before the field does. */
export class Fields {
  readonly #packet: Buffer;
  #at = 0;

  constructor(packet: Buffer) {
    this.#packet = packet;
  }

  get left(): number {
    return this.#packet.length - this.#at;
  }

  u8(): number {
    return this.#take(1).readUInt8();
  }

  u32(): number {
    return this.#take(4).readUInt32BE();
  }

  /** Rounded when it is beyond 2^53. */
  u64(): number {
    return Number(this.#take(8).readBigUInt64BE());
  }

  /** A view of the packet, not a copy. */
  bytes(): Buffer {
    return this.#take(this.u32());
  }

  text(): string {
    return this.bytes().toString("utf8");
  }

  attributes(): Attributes {
    const flags = this.u32();
    const has = (flag: number): boolean => (flags & flag) !== 0;
    const size = has(attributeFlags.size) ? this.u64() : undefined;
    if (has(attributeFlags.owner)) this.#take(8);
    const mode = has(attributeFlags.permissions) ? this.u32() : undefined;
    const [, time] = has(attributeFlags.times) ? [this.u32(), this.u32()] : [];
    if (has(attributeFlags.extended)) {
      for (let count = this.u32(); count > 0; count--) {
        this.bytes();
        this.bytes();
      }
    }
    return { size, mode, time };
  }

  #take(length: number): Buffer {
    if (length > this.left) throw new Violation("it sent a packet that ends within a field");
    this.#at += length;
    return this.#packet.subarray(this.#at - length, this.#at);
  }
}
