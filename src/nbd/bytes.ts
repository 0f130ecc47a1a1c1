/** Integers, strings and headers of replies as the wire has them. */
import { simpleReplyMagic, structuredReplyMagic } from "./protocol.ts";

export function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

export function u64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(value);
  return bytes;
}

/** With its length before it. */
export function string(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([u32(bytes.length), bytes]);
}

/** What comes before a chunk's payload of `length` bytes. */
export function chunkHeader(flags: number, type: number, cookie: bigint, length: number): Buffer {
  return Buffer.concat([u32(structuredReplyMagic), u16(flags), u16(type), u64(cookie), u32(length)]);
}

/** A simple reply; what was read comes after it. */
export function replyHeader(error: number, cookie: bigint): Buffer {
  return Buffer.concat([u32(simpleReplyMagic), u32(error), u64(cookie)]);
}
