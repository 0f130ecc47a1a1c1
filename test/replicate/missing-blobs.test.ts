import * as fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { BlobReader } from "../../src/repository/blobs/blob-reader.ts";
import { BlobStore } from "../../src/repository/blobs/blob-store.ts";
import type { Manifest } from "../../src/repository/points/manifest.ts";
import type { Repository } from "../../src/repository/repository.ts";
import { writeDirectory } from "../../src/repository/tree/directory-tree.ts";
import { inlineExecutor } from "../../src/repository/threads/executor.ts";
import { WriteSession } from "../../src/repository/blobs/write-session.ts";
import { missingBlobs } from "../../src/replicate/missing-blobs.ts";
import { FaultyStorage } from "../helpers/faulty-storage.ts";
import { collect } from "../helpers/collect.ts";
import { rejection } from "../helpers/rejection.ts";
import { type Content, day, open, primarySite, storageOn, take } from "./sites.ts";

const nothing: ReadonlySet<string> = new Set();

interface Difference {
  readonly presence?: ReadonlySet<string>;
  readonly base?: Manifest;
  readonly reader?: BlobReader;
  readonly signal?: AbortSignal;
}

/** Ids that are missing, as hex; fails the test when a node can't be read. */
async function missing(primary: Repository, manifest: Manifest, difference: Difference = {}): Promise<Set<string>> {
  const { presence = nothing, base, signal, reader = (await BlobStore.load(primary)).reader } = difference;
  const present = { has: (id: Buffer): boolean => presence.has(id.toString("hex")) };
  const ids = new Set<string>();
  for await (const one of missingBlobs({ reader, presence: present, manifest, base, signal })) {
    if (one instanceof Error) throw one;
    for (const id of one.ids) ids.add(id.toString("hex"));
  }
  return ids;
}

/** Counts the blobs' reads; knows no cache. */
async function countingReader(primary: Repository): Promise<{ reader: BlobReader; reads: () => number }> {
  const store = await BlobStore.load(primary);
  const { keys, storage } = primary;
  const reader = new BlobReader({ keys, storage, index: store.index, packs: store.packs });
  const read = vi.spyOn(reader, "read");
  return { reader, reads: () => read.mock.calls.length };
}

const number = fc.integer({ min: 0, max: 12 });
const content: fc.Arbitrary<Content> = fc.record({
  image: fc.oneof(
    fc.array(number, { maxLength: 5 }),
    fc.array(number, { minLength: 250, maxLength: 300, size: "max" }),
  ),
  stream: fc.array(number, { maxLength: 6 }),
  files: fc.dictionary(fc.constantFrom("a", "b", "c", "d"), number, { noNullPrototype: true }),
});

describe("missingBlobs", () => {
  it("with what the base and the index have makes the point whole, and lists nothing else", async () => {
    await fc.assert(
      fc.asyncProperty(content, content, fc.nat(), async (before, after, seed) => {
        const primary = await open(await primarySite());
        const base = (await take(primary, before, { time: day })).manifest;
        const point = (await take(primary, after, { time: 2 * day })).manifest;
        const wholeBase = await missing(primary, base);
        const whole = await missing(primary, point);
        // The base is whole, and besides, an interrupted run has left some blobs of the point.
        const presence = wholeBase.union(new Set([...whole].filter((id) => (id.codePointAt(0) ?? 0) % 3 === seed % 3)));
        const found = await missing(primary, point, { presence, base });
        expect(found).toEqual(whole.difference(presence));
        expect(await missing(primary, point, { presence })).toEqual(found);
      }),
      { numRuns: 12 },
    );
  });

  it("reads nothing of what equals the base, and only the way down to what differs", async () => {
    const primary = await open(await primarySite());
    const image = Array.from({ length: 256 * 5 }, (_, at) => at + 1);
    const base = (await take(primary, { image, stream: [1, 2], files: { a: 1 } }, { time: day })).manifest;
    const same = (await take(primary, { image, stream: [1, 2], files: { a: 1 } }, { time: 2 * day })).manifest;
    const other = (
      await take(primary, { image: image.with(999, 0), stream: [1, 2], files: { a: 1 } }, { time: 3 * day })
    ).manifest;
    const presence = await missing(primary, base);
    const { reader, reads } = await countingReader(primary);
    expect(await missing(primary, same, { presence, base, reader })).toEqual(new Set());
    expect(reads()).toBe(0);
    // The tops of both, and the one leaf.
    expect((await missing(primary, other, { presence, base, reader })).size).toBe(2);
    expect(reads()).toBe(3);
  });

  it("walks below a node that is there, for what was to come with it may not be", async () => {
    const primary = await open(await primarySite());
    const image = Array.from({ length: 300 }, (_, at) => at + 1);
    const { manifest } = await take(primary, { image, stream: [], files: {} }, { time: day });
    const top = manifest.parts[0]?.kind === "image" ? manifest.parts[0].root : "";
    const whole = await missing(primary, manifest);
    expect(whole.has(top)).toBe(true);
    expect((await missing(primary, manifest, { presence: new Set([top]) })).size).toBe(whole.size - 1);
  });

  it("finds all nodes of a large directory", async () => {
    const primary = await open(await primarySite());
    const { manifest } = await take(primary, { image: [], stream: [], files: {} }, { time: day });
    const known = new Set((await BlobStore.load(primary)).present.keys());
    const session = new WriteSession(await BlobStore.load(primary), inlineExecutor);
    const common = { type: "fifo" as const, mode: 0, uid: 0, gid: 0, mtime: "1.000000000", ctime: "1.000000000" };
    const entries = Array.from({ length: 6000 }, (_, at) => ({
      ...common,
      name: `f${String(at).padStart(5, "0")}`,
      inode: String(at),
    }));
    const tree = await writeDirectory(session.writer, entries);
    await session.finish();
    const store = await BlobStore.load(primary);
    const written = new Set<string>();
    for (const [pack, { id }] of store.packs.all()) {
      if (known.has(id)) continue;
      for (const entry of (await store.reader.openPack(pack)).table) written.add(entry.id.toString("hex"));
    }
    const [part] = manifest.parts.filter((one) => one.kind === "directory");
    if (part === undefined) throw new Error("the test's own point has no directory");
    const parts = [{ ...part, entry: { ...part.entry, tree: tree.toString("hex") } }];
    expect(written.size).toBeGreaterThan(3);
    expect(await missing(primary, { ...manifest, parts })).toEqual(written);
  });

  it("yields the error when a node of the point can't be read, and does without one of the base", async () => {
    const site = await primarySite();
    const primary = await open(site);
    const image = Array.from({ length: 300 }, (_, at) => at + 1);
    const base = (await take(primary, { image, stream: [], files: {} }, { time: day })).manifest;
    const ofBase = [...(await BlobStore.load(primary)).present.keys()];
    const point = (await take(primary, { image: image.with(299, 0), stream: [], files: {} }, { time: 2 * day }))
      .manifest;
    const whole = await missing(primary, point);
    const presence = await missing(primary, base);
    const store = await BlobStore.load(primary);
    const storage = new FaultyStorage(storageOn(site, "primary"));
    const reader = new BlobReader({ keys: primary.keys, storage, index: store.index, packs: store.packs });
    const fail = { kind: "fail", code: "storage_failed" } as const;
    // The data of the base stays readable but isn't needed; what the point shares with it is looked up.
    storage.script({ operation: "get", fault: fail, name: new RegExp(ofBase.join("|")), times: 1e9 });
    const unreadable = await collect(
      missingBlobs({ reader, presence: { has: () => false }, manifest: point, base: undefined }),
    );
    expect(unreadable.at(-1)).toMatchObject({ code: "storage_failed" });
    const fresh = new FaultyStorage(storageOn(site, "primary"));
    const again = new BlobReader({ keys: primary.keys, storage: fresh, index: store.index, packs: store.packs });
    const root = base.parts[0]?.kind === "image" ? base.parts[0].root : "";
    const failing = Object.assign(Object.create(again) as BlobReader, {
      read: async (...[kind, id, options]: Parameters<BlobReader["read"]>): Promise<Buffer> => {
        if (id.toString("hex") === root) return await reader.read(kind, id, options);
        return await again.read(kind, id, options);
      },
    });
    expect(await missing(primary, point, { presence, base, reader: failing })).toEqual(whole.difference(presence));
  });

  it("stops when it is told to", async () => {
    const primary = await open(await primarySite());
    const { manifest } = await take(primary, { image: [1], stream: [], files: {} }, { time: day });
    const error = await rejection(missing(primary, manifest, { signal: AbortSignal.abort() }));
    expect(error).toMatchObject({ code: "cancelled" });
  });
});
