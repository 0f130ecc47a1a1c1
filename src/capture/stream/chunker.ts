/**
 * Content-defined chunking: where a stream is cut depends on the bytes around the cut alone, so that an insertion moves
 * only the cuts near it. Gear hash and normalised sizes as in FastCDC (Xia et al., USENIX ATC 2016).
 *
 * The table comes from the repository's keys, so that the sizes of chunks don't tell an outsider which file is stored.
 * Plain TypeScript: see docs/decisions/0010-chunking.md.
 */
import { hkdfSync } from "node:crypto";
import type { KeyRing } from "../../repository/keys/key-ring.ts";

/** A chunk has at least that many bytes, unless it is the stream's last. Content no longer than this isn't hashed at all. */
export const shortestChunk = 256 * 1024;
/** Up to here a cut is unlikely, from here on likely: most chunks are about this long. */
const usualChunk = 512 * 1024;
export const longestChunk = 2 * 1024 * 1024;

/** The topmost bits: they depend on the last 32 bytes, the lower ones on fewer. One cut in 2^20 places, then in 2^18. */
const unlikely = 0xfffff000 | 0;
const likely = 0xffffc000 | 0;

/** One pseudo-random number for each value of a byte. */
export type GearTable = Int32Array;

export function gearTable(keys: KeyRing): GearTable {
  const bytes = Buffer.from(hkdfSync("sha256", keys.classKey("chunker"), Buffer.alloc(0), "stillpoint/1/gear", 1024));
  const table = Int32Array.from({ length: 256 }, (_, value) => bytes.readInt32BE(value * 4));
  // In a run of zeros the hash goes through multiples of table[0]. With this one none of them cuts, so that a hole makes
  // chunks of the greatest length, and needn't be read to know it.
  table[0] = 0x55555555;
  return table;
}

/**
 * The length of the chunk that begins at `start`, where `data` holds the stream up to `end`: `longestChunk` bytes or more,
 * or all that is left of it.
 */
export function chunkLength(table: GearTable, data: Uint8Array, start: number, end: number): number {
  const last = Math.min(end, start + longestChunk);
  const usual = Math.min(last, start + usualChunk);
  let hash = 0;
  let at = start + shortestChunk;
  if (at >= last) return last - start;
  for (; at < usual; at++) {
    hash = ((hash << 1) + (table[data[at] as number] as number)) | 0;
    if ((hash & unlikely) === 0) return at + 1 - start;
  }
  for (; at < last; at++) {
    hash = ((hash << 1) + (table[data[at] as number] as number)) | 0;
    if ((hash & likely) === 0) return at + 1 - start;
  }
  return last - start;
}

/**
 * Cuts a stream, however it arrives, into its chunks. The pieces must not be written to again; nor are the chunks copies
 * where they needn't be.
 */
export async function* cutIntoChunks(stream: AsyncIterable<Buffer>, table: GearTable): AsyncGenerator<Buffer> {
  let pieces: Buffer[] = [];
  let length = 0;
  const take = function* (atLeast: number): Generator<Buffer> {
    if (length < atLeast) return;
    const data = Buffer.concat(pieces);
    let at = 0;
    while (data.length - at >= atLeast && at < data.length) {
      const chunk = chunkLength(table, data, at, data.length);
      yield data.subarray(at, at + chunk);
      at += chunk;
    }
    pieces = [data.subarray(at)];
    length = data.length - at;
  };
  for await (const piece of stream) {
    pieces.push(piece);
    length += piece.length;
    // Joined only when a few chunks are in it: each join copies what the last one left.
    if (length >= 2 * longestChunk) yield* take(longestChunk);
  }
  yield* take(1);
}
