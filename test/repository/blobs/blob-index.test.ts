import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BlobIndex } from "../../../src/repository/blobs/blob-index.ts";

const blobId = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes));
const packNumber = fc.integer({ min: 1, max: 2 ** 24 - 1 });

describe("BlobIndex", () => {
  test("finds what was inserted, in every pack, and nothing else, in another thread's view too", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(blobId, packNumber)), fc.array(blobId), (inserted, others) => {
        const index = new BlobIndex();
        for (const [id, pack] of inserted) index.insert(id, pack);
        for (const view of [index, new BlobIndex(index.memory)]) {
          expect(view.count).toBe(inserted.length);
          for (const [id, pack] of inserted) {
            expect(view.has(id)).toBe(true);
            expect([...view.packsOf(id)]).toContain(pack);
          }
          const known = new Set(inserted.map(([id]) => id.toString("hex")));
          for (const id of others) expect(view.has(id)).toBe(known.has(id.toString("hex")));
        }
      }),
    );
  });

  test("grows past the room it was made for", () => {
    const index = BlobIndex.withRoomFor(10);
    const ids = Array.from({ length: 20_000 }, (_, number) => idOf(number));
    for (const [number, id] of ids.entries()) index.insert(id, number + 1);
    expect(ids.every((id, number) => [...index.packsOf(id)].includes(number + 1))).toBe(true);
    expect(index.has(idOf(20_000))).toBe(false);
  });

  test("takes at most 100 MiB per TiB of blocks of 128 KiB", () => {
    const blobs = 2 ** 40 / 131_072 / 64; // A 64th of a TiB: the table's size is linear in the room asked for.
    expect(BlobIndex.withRoomFor(blobs).byteLength * 64).toBeLessThanOrEqual(100 * 2 ** 20);
  });

  test("refuses pack numbers that it can't keep", () => {
    for (const pack of [0, -1, 2 ** 24]) expect(() => new BlobIndex().insert(idOf(1), pack)).toThrow(RangeError);
  });
});

/** Well spread, as HMACs are: a hash of the number. */
function idOf(number: number): Buffer {
  const id = Buffer.alloc(32);
  for (let at = 0; at < 32; at += 4) id.writeUInt32LE(Math.imul(number + 1, 0x9e3779b1 + at * 0x85ebca6b) >>> 0, at);
  return id;
}
