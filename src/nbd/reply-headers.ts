/** Headers of replies as the wire has them. */
import { u16, u32, u64 } from "../host/big-endian.ts";
import { simpleReplyMagic, structuredReplyMagic } from "./protocol.ts";

/** What comes before a chunk's payload of `length` bytes. */
export function chunkHeader(flags: number, type: number, cookie: bigint, length: number): Buffer {
  return Buffer.concat([u32(structuredReplyMagic), u16(flags), u16(type), u64(cookie), u32(length)]);
}

/** A simple reply; what was read comes after it. */
export function replyHeader(error: number, cookie: bigint): Buffer {
  return Buffer.concat([u32(simpleReplyMagic), u32(error), u64(cookie)]);
}
