/** Numbers and strings as network protocols have them: the most significant byte first. */

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

export function u64(value: number | bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}

/** Its length as `u32` before it. */
export function string(content: string | Buffer): Buffer {
  const bytes = Buffer.from(content);
  return Buffer.concat([u32(bytes.length), bytes]);
}
