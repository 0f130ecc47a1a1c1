import { Readable } from "node:stream";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import {
  chunkLength,
  cutIntoChunks,
  gearTable,
  longestChunk,
  shortestChunk,
} from "../../../src/capture/stream/chunker.ts";
import { KeyRing } from "../../../src/repository/keys/key-ring.ts";
import { collect } from "../../helpers/collect.ts";
import { seededRandom } from "../../helpers/seeded-random.ts";

const keys = new KeyRing({ masterKey: Buffer.alloc(32, 1), repositoryId: Buffer.alloc(16, 2) });
const table = gearTable(keys);
/** Fast, and without a pattern that the hash could fall in with. */
const noise = Buffer.alloc(12 * 2 ** 20);
for (let at = 0, state = 1n; at < noise.length; at += 8) {
  state = BigInt.asUintN(64, state * 6364136223846793005n + 1442695040888963407n);
  noise.writeBigUInt64LE(state ^ (state >> 29n), at);
}

async function cut(stream: readonly Buffer[]): Promise<Buffer[]> {
  return await collect(cutIntoChunks(Readable.from(stream), table));
}

function lengths(chunks: readonly Buffer[]): number[] {
  return chunks.map((chunk) => chunk.length);
}

test("chunks are what was cut, of lengths within the limits but for the last, and by content", async () => {
  const chunks = await cut([noise]);
  expect(Buffer.concat(chunks).equals(noise)).toBe(true);
  for (const chunk of chunks.slice(0, -1)) {
    expect(chunk.length).toBeGreaterThanOrEqual(shortestChunk);
    expect(chunk.length).toBeLessThanOrEqual(longestChunk);
  }
  expect(new Set(lengths(chunks)).size).toBeGreaterThan(5);
});

test("it doesn't matter how the stream arrives", async () => {
  const whole = lengths(await cut([noise]));
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 3_000_000 }), { maxLength: 12 }), async (pieces) => {
      const sliced: Buffer[] = [];
      let at = 0;
      for (const length of [...pieces, noise.length]) {
        sliced.push(noise.subarray(at, at + length));
        at += length;
      }
      expect(lengths(await cut(sliced))).toEqual(whole);
    }),
    { numRuns: 10 },
  );
});

test("after an insertion the cuts fall where they fell before", async () => {
  const before = await cut([noise]);
  const random = seededRandom(3);
  for (const at of [0, 1_000_000, 5_000_000]) {
    const after = await cut([
      noise.subarray(0, at),
      random.bytes(1 + Math.floor(random.fraction() * 5000)),
      noise.subarray(at),
    ]);
    const known = new Set(before.map((chunk) => chunk.toString("latin1")));
    expect(after.filter((chunk) => !known.has(chunk.toString("latin1"))).length).toBeLessThanOrEqual(4);
  }
});

test("content no longer than the shortest chunk is one chunk; nothing is none", async () => {
  expect(lengths(await cut([noise.subarray(0, shortestChunk)]))).toEqual([shortestChunk]);
  expect(await cut([])).toEqual([]);
});

test("zeros are cut into the longest chunks, whatever the key", () => {
  const zeros = Buffer.alloc(longestChunk + 1);
  for (let key = 0; key < 20; key++) {
    const other = gearTable(new KeyRing({ masterKey: Buffer.alloc(32, key), repositoryId: Buffer.alloc(16) }));
    expect(chunkLength(other, zeros, 0, zeros.length)).toBe(longestChunk);
  }
});

test("another repository cuts elsewhere", () => {
  const other = gearTable(new KeyRing({ masterKey: Buffer.alloc(32, 9), repositoryId: Buffer.alloc(16) }));
  expect(chunkLength(other, noise, 0, noise.length)).not.toBe(chunkLength(table, noise, 0, noise.length));
});
