import { randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { BlobIndex } from "../../../src/repository/blobs/blob-index.ts";
import { BlobReader } from "../../../src/repository/blobs/blob-reader.ts";
import { BlobWriter } from "../../../src/repository/blobs/blob-writer.ts";
import { blobKinds, encodeHeader, tableEntryLength, tagLength, headerLength } from "../../../src/repository/format.ts";
import { KeyRing } from "../../../src/repository/keys/key-ring.ts";
import { type PackInfo, packName, sealTable } from "../../../src/repository/blobs/pack.ts";
import { parseTable } from "../../../src/repository/blobs/pack-table.ts";
import { PackCatalog } from "../../../src/repository/blobs/pack-catalog.ts";
import { ReadMemory } from "../../../src/repository/blobs/read-memory.ts";
import { farReach, nearReach, type Reach } from "../../../src/repository/blobs/runs.ts";
import type { ByteRange, Storage } from "../../../src/storage/storage.ts";
import { type FaultyStorage, flipBit } from "../../helpers/faulty-storage.ts";
import { faultyStorage, memoryStorage } from "../../helpers/memory-storage.ts";

const keys = new KeyRing({ masterKey: Buffer.alloc(32, 1), repositoryId: Buffer.alloc(16, 2) });

/** Packs of so many empty blobs each, which don't open; and the names read, call by call. */
function packsOf(lines: readonly number[]): { reader: BlobReader; reads: string[] } {
  const packs = new PackCatalog();
  const reads: string[] = [];
  const contents = new Map<string, Buffer>();
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
    contents.set(packName(id), Buffer.concat([header, Buffer.alloc(count * tagLength), end]));
  }
  const get: Storage["get"] = (name, range) => {
    reads.push(name);
    const { offset, length } = range as ByteRange;
    return Promise.resolve(Buffer.from((contents.get(name) as Buffer).subarray(offset, offset + length)));
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
  const packs = packsOf([120_000, 120_000, 120_000, 10]);
  for (const number of [1, 2, 3]) expect(await readsFor(packs, number)).toBe(2);
  expect(await readsFor(packs, 2)).toBe(0);
  expect(await readsFor(packs, 3)).toBe(0);
  expect(await readsFor(packs, 1)).toBe(2);
  // A small one is read as a whole.
  expect(await readsFor(packs, 4)).toBe(1);
  expect(await readsFor(packs, 1)).toBe(0);
});

test("one table that is longer than all are to be is kept until the next", async () => {
  const packs = packsOf([280_000, 10]);
  expect(await readsFor(packs, 1)).toBe(2);
  expect(await readsFor(packs, 1)).toBe(0);
  expect(await readsFor(packs, 2)).toBe(1);
  expect(await readsFor(packs, 1)).toBe(2);
});

/** Small blobs in one pack of more than a megabyte, and a reader over a storage that counts. */
async function written(): Promise<{ reader: BlobReader; storage: FaultyStorage; ids: Buffer[]; content: Buffer[] }> {
  const storage = await faultyStorage();
  const [index, packs] = [new BlobIndex(), new PackCatalog()];
  const onPack = (pack: PackInfo): void => {
    const number = packs.add(pack);
    for (const { id } of parseTable(pack)) index.insert(id, number);
  };
  const writer = new BlobWriter({ keys, storage, presence: new BlobIndex(), onPack });
  const content = Array.from({ length: 1000 }, (_, at) => randomBytes(2000 + (at % 7)));
  const ids: Buffer[] = [];
  for (const raw of content) ids.push(await writer.add(blobKinds.imageNode, raw));
  await writer.flush();
  return { reader: new BlobReader({ keys, storage, index, packs }), storage, ids, content };
}

test("small blobs that lie together are read together, singly asked for", async () => {
  const { reader, storage, ids, content } = await written();
  const before = storage.calls.length;
  for (const [at, id] of ids.entries())
    expect((await reader.read(blobKinds.imageNode, id)).equals(content[at] as Buffer)).toBe(true);
  // Header, end, and 2 MB in pieces of 256 KiB.
  expect(storage.calls.length - before).toBeLessThan(14);
});

test("of small packs, which are read as a whole, only the last few stay in memory", async () => {
  const storage = await faultyStorage();
  const [index, packs] = [new BlobIndex(), new PackCatalog()];
  const ids: Buffer[] = [];
  for (let seed = 0; seed < 40; seed++) {
    const onPack = (pack: PackInfo): void => index.insert(ids.at(-1) as Buffer, packs.add(pack));
    const writer = new BlobWriter({ keys, storage, presence: new BlobIndex(), onPack });
    ids.push(await writer.add(blobKinds.imageNode, Buffer.alloc(100, seed + 1)));
    await writer.flush();
  }
  const reader = new BlobReader({ keys, storage, index, packs });
  for (const [number] of packs.all()) await reader.openPack(number);
  const readsOf = async (id: Buffer | undefined): Promise<number> => {
    const before = storage.calls.length;
    await reader.read(blobKinds.imageNode, id as Buffer);
    return storage.calls.length - before;
  };
  expect(await readsOf(ids[0])).toBe(1);
  expect(await readsOf(ids.at(-1))).toBe(0);
});

test("a blob that doesn't open from what was kept is read again", async () => {
  const { reader, storage, ids, content } = await written();
  await reader.openPack(1);
  storage.script({ operation: "get", fault: flipBit(5000) });
  expect((await reader.read(blobKinds.imageNode, ids[0] as Buffer)).equals(content[0] as Buffer)).toBe(true);
  for (const at of [1, 2, 3])
    expect((await reader.read(blobKinds.imageNode, ids[at] as Buffer)).equals(content[at] as Buffer)).toBe(true);
});

interface Blobs {
  readonly count: number;
  /** Of each, in bytes. */
  readonly length: number;
  /** After so many of them a new pack is begun; by default when one is full, at 16 MiB. */
  readonly perPack?: number;
}

/** A reader of these over a storage that answers when it is told to. */
async function writtenSlow(blobs: Blobs, reach: Reach) {
  const storage = await memoryStorage();
  const { index, packs, ids } = await writtenTo(storage, blobs);
  const reads: { readonly length: number; readonly end: () => void }[] = [];
  const get: Storage["get"] = async (name, range, options) => {
    await new Promise<void>((resolve) => void reads.push({ length: range?.length ?? 0, end: resolve }));
    return await storage.get(name, range, options);
  };
  return { reader: new BlobReader({ keys, storage: { get }, index, packs, reach }), reads, ids, packs };
}

const mebibyte = 1024 * 1024;

async function writtenTo(storage: Storage, { count, length, perPack = Number.POSITIVE_INFINITY }: Blobs) {
  const [index, packs] = [new BlobIndex(), new PackCatalog()];
  const onPack = (pack: PackInfo): void => {
    const number = packs.add(pack);
    for (const { id } of parseTable(pack)) index.insert(id, number);
  };
  const writer = new BlobWriter({ keys, storage, presence: new BlobIndex(), onPack });
  const content = Array.from({ length: count }, () => randomBytes(length));
  const ids: Buffer[] = [];
  for (const raw of content) {
    ids.push(await writer.add(blobKinds.data, raw));
    if (ids.length % perPack === 0) await writer.flush();
  }
  await writer.flush();
  return { index, packs, ids, content };
}

async function writtenFar(count: number) {
  return await writtenSlow({ count, length: mebibyte }, farReach);
}

/** Lets all reads end, those that come of it too, until no more come. Returns how many there were. */
async function endAll(reads: readonly { readonly end: () => void }[], from = 0): Promise<number> {
  let ended = from;
  for (let idle = 0; idle < 20; idle++) {
    for (; ended < reads.length; idle = 0) reads[ended++]?.end();
    await new Promise(setImmediate);
  }
  return ended;
}

test("of a far storage packs are read as a whole, two at a time, when most of them is wanted", async () => {
  const { reader, reads, ids, packs } = await writtenFar(48);
  let used = 0;
  const reading = reader.readMany(blobKinds.data, ids, () => void used++);
  let most = 0;
  for (let ended = 0; ended < packs.count; ended++) {
    await expect.poll(() => reads.length).toBeGreaterThan(ended);
    await new Promise(setImmediate);
    most = Math.max(
      most,
      reads.slice(ended).reduce((sum, { length }) => sum + length, 0),
    );
    reads[ended]?.end();
  }
  await reading;
  expect(used).toBe(48);
  expect(reads.map(({ length }) => length)).toEqual([...packs.all()].map(([, { size }]) => size));
  expect(most).toBeGreaterThan(30 * mebibyte);
  expect(most).toBeLessThan(36 * mebibyte);
});

test.each([
  ["far", farReach, 3],
  ["near", nearReach, 12],
] as const)("memory for reads is used over and over, but not that of one that failed (%s)", async (_, reach, reads) => {
  const storage = await faultyStorage();
  const { index, packs, ids, content } = await writtenTo(storage, { count: 48, length: mebibyte });
  const used: { readonly memory: ArrayBufferLike; readonly failed: boolean }[] = [];
  const get: Storage["get"] = async (name, range, options) => {
    const memory = options?.into?.buffer;
    const getting = storage.get(name, range, options);
    if (memory !== undefined) await getting.then(noted(false), noted(true));
    return await getting;

    function noted(failed: boolean): () => void {
      return () => void used.push({ memory: memory as ArrayBufferLike, failed });
    }
  };
  const reader = new BlobReader({ keys, storage: { get }, index, packs, reach, memory: new ReadMemory(reach.run) });
  const read = async (): Promise<void> => {
    let right = 0;
    await reader.readMany(blobKinds.data, ids, (at, raw) => {
      if (!(raw instanceof Error) && raw.equals(content[at] as Buffer)) right += 1;
    });
    expect(right).toBe(ids.length);
  };
  await read();
  await read();
  expect(used.length).toBeGreaterThanOrEqual(2 * reads);
  expect(new Set(used.map(({ memory }) => memory)).size).toBeLessThanOrEqual(3);
  storage.script({ operation: "get", fault: { kind: "fail", code: "storage_failed", done: true }, nth: 2 });
  await read();
  await read();
  const failed = used.findIndex((one) => one.failed);
  expect(failed).toBeGreaterThan(0);
  expect(used.slice(failed + 1).filter(({ memory }) => memory === used[failed]?.memory)).toEqual([]);
});

test("of a far storage no more packs are read while those that came aren't used", async () => {
  const { reader, reads, ids, packs } = await writtenFar(96);
  const held = Promise.withResolvers<undefined>();
  const reading = reader.readMany(blobKinds.data, ids, async () => {
    await held.promise;
  });
  expect(packs.count).toBe(6);
  expect(await endAll(reads)).toBe(3);
  held.resolve(undefined);
  expect(await endAll(reads, 3)).toBe(6);
  await reading;
});

test("of a far storage only what is wanted is read where that is little, and header and end at the same time", async () => {
  const { reader, reads, ids } = await writtenFar(18);
  const wanted = [ids[1], ids[2], ids[12]] as Buffer[];
  const reading = reader.readMany(blobKinds.data, wanted, () => undefined);
  await expect.poll(() => reads).toHaveLength(2);
  for (const { end } of reads) end();
  await expect.poll(() => reads).toHaveLength(4);
  for (const { end } of reads) end();
  await reading;
  expect(reads.slice(2).map(({ length }) => Math.round(length / mebibyte))).toEqual([2, 1]);
});

test("of a near storage a block or two that nobody wants are read along: opening the file again would take longer", async () => {
  const { reader, reads, ids, packs } = await writtenSlow({ count: 64, length: mebibyte / 8 }, nearReach);
  expect(packs.count).toBe(1);
  const everyOther = ids.filter((_, at) => at % 2 === 0);
  let used = 0;
  const reading = reader.readMany(blobKinds.data, everyOther, () => void used++);
  // Header, end, and 8 MiB.
  expect(await endAll(reads)).toBeLessThan(2 + 6);
  await reading;
  expect(used).toBe(everyOther.length);
});

test("of the small packs of a long history no more are in memory than of large ones", async () => {
  const { reader, reads, ids } = await writtenSlow({ count: 64, length: mebibyte / 2, perPack: 1 }, nearReach);
  const held = Promise.withResolvers<undefined>();
  const reading = reader.readMany(blobKinds.data, ids, async () => {
    await held.promise;
  });
  const before = await endAll(reads);
  expect(before).toBeGreaterThan(2);
  expect(reads.reduce((sum, { length }) => sum + length, 0)).toBeLessThan(7 * mebibyte);
  held.resolve(undefined);
  expect(await endAll(reads, before)).toBe(ids.length);
  await reading;
});
