import crypto from "node:crypto";
import { syncBuiltinESMExports } from "node:module";
import { zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { StillpointError } from "../../../src/errors.ts";
import { BlobIndex } from "../../../src/repository/blobs/blob-index.ts";
import { BlobReader } from "../../../src/repository/blobs/blob-reader.ts";
import { readPack } from "../../../src/repository/blobs/open-packs.ts";
import { BlobWriter, type Presence } from "../../../src/repository/blobs/blob-writer.ts";
import { type BlobKind, blobKinds } from "../../../src/repository/format.ts";
import { KeyRing } from "../../../src/repository/keys/key-ring.ts";
import { type PackInfo, packName } from "../../../src/repository/blobs/pack.ts";
import { parseTable } from "../../../src/repository/blobs/pack-table.ts";
import { PackCatalog } from "../../../src/repository/blobs/pack-catalog.ts";
import type { Storage } from "../../../src/storage/storage.ts";
import { faultyStorage, memoryStorage } from "../../helpers/memory-storage.ts";
import { rejection } from "../../helpers/rejection.ts";
import { overriding } from "../../helpers/repository.ts";

const keys = new KeyRing({ masterKey: Buffer.alloc(32, 1), repositoryId: Buffer.alloc(16, 2) });
const content = fc.oneof(
  fc.uint8Array({ maxLength: 300 }),
  fc
    .tuple(fc.integer({ min: 0, max: 255 }), fc.integer({ min: 0, max: 200_000 }))
    .map(([byte, length]) => new Uint8Array(length).fill(byte)),
);
const blob = fc.tuple(fc.constantFrom<BlobKind>(1, 2, 3, 4), content);

interface Written {
  readonly storage: Storage;
  readonly packs: PackInfo[];
  readonly ids: Buffer[];
  readonly writer: BlobWriter;
}

async function write(
  blobs: readonly (readonly [BlobKind, Uint8Array])[],
  presence: Presence = new BlobIndex(),
): Promise<Written> {
  const storage = await memoryStorage();
  const packs: PackInfo[] = [];
  const writer = new BlobWriter({ keys, storage, presence, onPack: (pack) => packs.push(pack) });
  const ids: Buffer[] = [];
  for (const [kind, raw] of blobs) ids.push(await writer.add(kind, raw));
  await writer.flush();
  return { storage, packs, ids, writer };
}

function readerOf({ storage, packs }: Written): BlobReader {
  const index = new BlobIndex();
  const catalog = new PackCatalog();
  for (const pack of packs) {
    const number = catalog.add(pack);
    for (const { id } of parseTable(pack)) index.insert(id, number);
  }
  return new BlobReader({ keys, storage, index, packs: catalog });
}

/** The key and the nonce of each seal from now to the end of the test. */
function pairsUsed(): string[] {
  const used: string[] = [];
  const seal = crypto.createCipheriv;
  const spy = vi.spyOn(crypto, "createCipheriv").mockImplementation((...call: Parameters<typeof seal>) => {
    used.push(`${Buffer.from(call[1] as Buffer).toString("hex")} ${Buffer.from(call[2] as Buffer).toString("hex")}`);
    return seal(...call);
  });
  syncBuiltinESMExports();
  onTestFinished(() => {
    spy.mockRestore();
    syncBuiltinESMExports();
  });
  return used;
}

describe("BlobWriter", () => {
  test("what is written is read back, and equal content is stored once", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(blob, { maxLength: 40 }), async (blobs) => {
        const written = await write(blobs);
        const reader = readerOf(written);
        for (const [position, [kind, raw]] of blobs.entries()) {
          expect((await reader.read(kind, written.ids[position] as Buffer)).equals(raw)).toBe(true);
        }
        const distinct = new Set(written.ids.map((id) => id.toString("hex")));
        expect(written.packs.flatMap((pack) => parseTable(pack))).toHaveLength(distinct.size);
      }),
      { numRuns: 30 },
    );
  });

  test("no key is ever used with the same nonce twice", async () => {
    const used = pairsUsed();
    const one = Buffer.alloc(100_000, 7);
    for (let round = 0; round < 5; round++)
      await write(
        [1, 2, 3, 4].flatMap(
          (kind) =>
            [
              [kind as BlobKind, one],
              [kind as BlobKind, Buffer.of(kind)],
            ] as const,
        ),
      );
    for (let round = 0; round < 20; round++) keys.sealObject("tags", one);
    expect(used.length).toBeGreaterThan(60);
    expect(new Set(used).size).toBe(used.length);
  });

  test("a pack tells by itself what it holds", async () => {
    const written = await write([
      [1, Buffer.from("data")],
      [4, Buffer.from("metadata")],
    ]);
    expect(written.packs.map((pack) => pack.class).toSorted()).toEqual(["data", "metadata"]);
    for (const pack of written.packs) {
      const { size } = await written.storage.stat(packName(pack.id));
      expect((await readPack(keys, written.storage, { id: pack.id, size })).info).toEqual(pack);
    }
  });

  test("what is present already isn't stored", async () => {
    const { packs, writer } = await write([[1, Buffer.from("known")]], { has: () => true });
    expect(packs).toEqual([]);
    expect(writer.statistics).toEqual({ newBytes: 0, storedBytes: 0 });
  });

  test("closes packs at their target size, without losing a blob to concurrent calls", async () => {
    const storage = await memoryStorage();
    const packs: PackInfo[] = [];
    const writer = new BlobWriter({ keys, storage, presence: new BlobIndex(), onPack: (pack) => packs.push(pack) });
    const blobs = Array.from({ length: 24 }, (_, seed) =>
      crypto
        .createHash("shake256", { outputLength: 2 ** 21 })
        .update(String(seed))
        .digest(),
    );
    const ids = await Promise.all(blobs.map(async (raw) => await writer.add(blobKinds.data, raw)));
    await writer.flush();
    expect(packs.length).toBeGreaterThanOrEqual(3);
    expect(packs.every((pack) => pack.size < 19 * 2 ** 20)).toBe(true);
    const stored = packs.flatMap((pack) => parseTable(pack).map(({ id }) => id.toString("hex")));
    expect(stored.toSorted()).toEqual(ids.map((id) => id.toString("hex")).toSorted());
  });

  test("a blob that doesn't open as what was given is never stored", async () => {
    const storage = await memoryStorage();
    const writer = new BlobWriter({ keys, storage, presence: new BlobIndex(), onPack: () => expect.unreachable() });
    const addStored = writer.addStored.bind(writer);
    const other = zstdCompressSync(Buffer.alloc(5000, 8));
    vi.spyOn(writer, "addStored").mockImplementation(
      async (kind, id, encoding, length, _, raw) => await addStored(kind, id, encoding, length, other, raw),
    );
    const error = await rejection(writer.add(blobKinds.data, Buffer.alloc(5000, 7)));
    expect(error).toMatchObject({ code: "damaged", message: expect.stringContaining("memory") as string });
  });

  test("a pack that can't be stored fails the flush, and every add after it", async () => {
    const storage = await faultyStorage();
    storage.script({ operation: "put", fault: { kind: "fail", code: "storage_full" } });
    const writer = new BlobWriter({ keys, storage, presence: new BlobIndex(), onPack: () => expect.unreachable() });
    await writer.add(1, Buffer.from("lost"));
    expect(await rejection(writer.flush())).toMatchObject({ code: "storage_full" });
    expect(await rejection(writer.add(1, Buffer.from("more")))).toMatchObject({ code: "storage_full" });
  });

  test.each([undefined, 3])("as many packs are on their way as it is told (%j), and no more", async (packsInFlight) => {
    const answered = Promise.withResolvers<undefined>();
    const names: string[] = [];
    const put = async (name: string): Promise<void> => {
      names.push(name);
      await answered.promise;
    };
    const far = overriding(await memoryStorage(), { put });
    const writer = new BlobWriter({
      keys,
      storage: far,
      presence: new BlobIndex(),
      packsInFlight,
      onPack: () => undefined,
    });
    const stored = Buffer.alloc(16 * 2 ** 20 - 64);
    let added = 0;
    const adding = (async () => {
      for (; added < 9; added++)
        await writer.addStored(blobKinds.data, crypto.randomBytes(32), 0, stored.length, stored);
    })();
    await expect.poll(() => names).toHaveLength((packsInFlight ?? 1) + 1);
    for (let turns = 0; turns < 20; turns++) await new Promise(setImmediate);
    expect(names).toHaveLength((packsInFlight ?? 1) + 1);
    answered.resolve(undefined);
    await adding;
    await writer.flush();
    expect(names).toHaveLength(9);
  });
});

describe("BlobReader", () => {
  test("any flipped bit of a pack is noticed, and blobs of other packs are still read", async () => {
    const written = await write([
      [1, Buffer.from("first blob")],
      [1, Buffer.alloc(5000, 3)],
      [4, Buffer.from("{}")],
    ]);
    const data = written.packs.find((pack) => pack.class === "data") as PackInfo;
    const bytes = await written.storage.get(packName(data.id));
    for (let at = 0; at < bytes.length; at++) {
      const flipped = Buffer.from(bytes);
      flipped[at] = (flipped[at] as number) ^ (1 << (at % 8));
      await written.storage.put(packName(data.id), [flipped]);
      const results = await Promise.allSettled([
        readerOf(written).read(1, written.ids[0] as Buffer),
        readerOf(written).read(1, written.ids[1] as Buffer),
      ]);
      const codes = results.map((result) => (result.status === "rejected" ? codeOf(result.reason) : "read"));
      expect(codes.every((code) => ["read", "damaged", "format_unsupported"].includes(code))).toBe(true);
      expect(
        codes.some((code) => code !== "read"),
        `byte ${String(at)}`,
      ).toBe(true);
      expect((await readerOf(written).read(4, written.ids[2] as Buffer)).toString()).toBe("{}");
    }
  });

  test("takes a blob from another pack when one copy is damaged", async () => {
    const one = await write([[1, Buffer.from("twice")]]);
    const other = await write([[1, Buffer.from("twice")]]);
    const [pack, copy] = [one.packs[0] as PackInfo, other.packs[0] as PackInfo];
    await one.storage.put(packName(copy.id), [await other.storage.get(packName(copy.id))]);
    const both = { ...one, packs: [pack, copy] };
    for (const damaged of both.packs) {
      const whole = await one.storage.get(packName(damaged.id));
      const bytes = Buffer.from(whole);
      bytes[50] = (bytes[50] as number) ^ 1;
      await one.storage.put(packName(damaged.id), [bytes]);
      expect((await readerOf(both).read(1, one.ids[0] as Buffer)).toString()).toBe("twice");
      await readerOf(both).readMany(1, one.ids, (_, result) => expect(String(result)).toBe("twice"));
      await one.storage.put(packName(damaged.id), [whole]);
    }
  });

  test("says which blob is in no pack", async () => {
    const written = await write([]);
    const error = await rejection(readerOf(written).read(1, Buffer.alloc(32, 9)));
    expect(error).toMatchObject({ code: "damaged", message: expect.stringContaining("0909") as string });
  });
});

function codeOf(error: unknown): string {
  return error instanceof StillpointError ? error.code : "another error";
}
