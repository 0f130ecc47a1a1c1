import { expect, test } from "vitest";
import { BlobIndex } from "../../../src/repository/blobs/blob-index.ts";
import { BlobReader } from "../../../src/repository/blobs/blob-reader.ts";
import { encodeHeader, headerLength, tableEntryLength, tagLength } from "../../../src/repository/format.ts";
import { KeyRing } from "../../../src/repository/keys/key-ring.ts";
import { packName, sealTable } from "../../../src/repository/blobs/pack.ts";
import { PackCatalog } from "../../../src/repository/blobs/pack-catalog.ts";
import type { Storage } from "../../../src/storage/storage.ts";

const keys = new KeyRing({ masterKey: Buffer.alloc(32, 1), repositoryId: Buffer.alloc(16, 2) });

/** Packs of so many empty blobs each, of which nothing but header and end can be read; and the names read, call by call. */
function packsOf(lines: readonly number[]): { reader: BlobReader; reads: string[] } {
  const packs = new PackCatalog();
  const reads: string[] = [];
  const ends = new Map<string, { header: Buffer; end: Buffer }>();
  for (const [position, count] of lines.entries()) {
    const header = encodeHeader("pack", "data", Buffer.alloc(32, position));
    const table = Buffer.alloc(count * tableEntryLength);
    for (let at = 0; at < table.length; at += tableEntryLength) {
      table.writeUInt32BE(at, at);
      table.writeUInt32BE(tagLength, at + tableEntryLength - 4);
    }
    const { end, id } = sealTable(keys.objectKey(header), header, table);
    const size = headerLength + count * tagLength + end.length;
    packs.add({ id, class: "data", size, tableLength: end.length - 8 });
    ends.set(packName(id), { header, end });
  }
  const get: Storage["get"] = (name, range) => {
    reads.push(name);
    const { header, end } = ends.get(name) as { header: Buffer; end: Buffer };
    return Promise.resolve(Buffer.from(range?.offset === 0 ? header : end));
  };
  const storage = { location: "test", get } as unknown as Storage;
  return { reader: new BlobReader({ keys, storage, index: new BlobIndex(), packs }), reads };
}

async function readsFor({ reader, reads }: ReturnType<typeof packsOf>, number: number): Promise<number> {
  const before = reads.length;
  await reader.openPack(number);
  return reads.length - before;
}

test("tables are kept, the newest of them, and only so many lines", async () => {
  const packs = packsOf([60_000, 60_000, 60_000, 10]);
  for (const number of [1, 2, 3]) expect(await readsFor(packs, number)).toBe(2);
  expect(await readsFor(packs, 2)).toBe(0);
  expect(await readsFor(packs, 3)).toBe(0);
  expect(await readsFor(packs, 1)).toBe(2);
  expect(await readsFor(packs, 4)).toBe(2);
  expect(await readsFor(packs, 1)).toBe(0);
});

test("one table that is longer than all are to be is kept until the next", async () => {
  const packs = packsOf([140_000, 10]);
  expect(await readsFor(packs, 1)).toBe(2);
  expect(await readsFor(packs, 1)).toBe(0);
  expect(await readsFor(packs, 2)).toBe(2);
  expect(await readsFor(packs, 1)).toBe(2);
});
