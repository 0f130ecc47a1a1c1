import { beforeEach, describe, expect, test } from "vitest";
import { BlobStore } from "../../../src/repository/blobs/blob-store.ts";
import { forgetPoint, loadCatalog, recordLasts } from "../../../src/repository/points/catalog.ts";
import { inlineExecutor } from "../../../src/repository/threads/executor.ts";
import { type PackInfo, packName } from "../../../src/repository/blobs/pack.ts";
import type { RecoveryPoint } from "../../../src/repository/points/manifest.ts";
import { repairRepository } from "../../../src/repository/repair/repair.ts";
import type { Repository } from "../../../src/repository/repository.ts";
import { putSmallObject } from "../../../src/repository/points/small-objects.ts";
import { sweep, type SweepOptions, type SweepReport } from "../../../src/repository/sweep/sweep.ts";
import { putIndex } from "../../../src/repository/sweep/indexes.ts";
import { usualLimits } from "../../../src/repository/sweep/plan.ts";
import type { ObjectInfo } from "../../../src/storage/storage.ts";
import { FaultyStorage } from "../../helpers/faulty-storage.ts";
import { rejection } from "../../helpers/rejection.ts";
import {
  captureTiny,
  expectedContents,
  makeTestRepository,
  namesOf,
  overriding,
  readTiny,
  storeTiny,
  type TestRepository,
  withBadSector,
} from "../../helpers/repository.ts";

const hour = 3_600_000;
const grace = 24 * hour;
let here: TestRepository;
let repository: Repository;

beforeEach(async () => {
  here = await makeTestRepository();
  ({ repository } = here);
});

async function visit(options: Partial<SweepOptions> = {}): Promise<SweepReport> {
  return await sweep(repository, { grace, executor: inlineExecutor, ...options });
}

async function forget(...points: readonly RecoveryPoint[]): Promise<void> {
  const catalog = await loadCatalog(repository);
  for (const { id } of points) {
    const point = catalog.points.find((one) => one.id === id);
    if (point !== undefined) await forgetPoint(repository, point, "test");
  }
}

async function packBytes(): Promise<number> {
  let bytes = 0;
  for await (const { size } of repository.storage.list("packs/")) bytes += size;
  return bytes;
}

async function packsOf(which: "data" | "metadata"): Promise<string[]> {
  const { packs } = await BlobStore.load(repository);
  return [...packs.all()].flatMap(([, pack]) => (pack.class === which ? packName(pack.id) : []));
}

/** Alters the first blob of a pack. */
async function rot(name: string): Promise<void> {
  const data = await repository.storage.get(name);
  data.writeUInt8(data.readUInt8(60) ^ 1, 60);
  await repository.storage.put(name, [data]);
}

const noRewriting = { ...usualLimits, share: 0 };

describe("two visits", () => {
  test("free what only a forgotten point used, and nothing else", async () => {
    const first = await captureTiny(repository, { image: [1, 2, 3, 0, 4] });
    await captureTiny(repository, { image: [5, 6, 7, 8, 9] }, { source: "other" });
    const before = await packBytes();
    await forget(first);
    here.clock.pass(grace);
    const one = await visit();
    expect(one).toMatchObject({ condemned: { packs: 2 }, deleted: { packs: 0 }, points: 1 });
    expect(await packBytes()).toBe(before);
    here.clock.pass(grace);
    const steps: unknown[] = [];
    const two = await visit({ onStep: (...step) => void steps.push(step) });
    expect(steps).toEqual([
      ["marking", 6, 11],
      ["deleting", 1, 2],
      ["deleting", 2, 2],
    ]);
    expect(two.deleted).toEqual(one.condemned);
    expect(await packBytes()).toBe(before - one.condemned.bytes);
    const { points } = await loadCatalog(repository);
    expect(await readTiny(repository, points[0] as RecoveryPoint)).toEqual(
      expectedContents({ image: [5, 6, 7, 8, 9] }),
    );
    const store = await BlobStore.load(repository);
    expect([...store.lost]).toEqual([]);
    expect(store.orphans).toEqual([]);
  });

  test("delete nothing before the grace period is over", async () => {
    const first = await captureTiny(repository, { image: [1, 2] });
    await captureTiny(repository, { image: [3, 4] });
    await forget(first);
    here.clock.pass(grace);
    await visit();
    const before = await namesOf(repository.storage, "packs/");
    here.clock.pass(grace - hour);
    expect((await visit()).kept).toMatchObject([{ reason: "waiting", packs: 2 }]);
    expect(await namesOf(repository.storage, "packs/")).toEqual(before);
  });

  test("leave young packs alone: a capture may be about to commit", async () => {
    await captureTiny(repository, { image: [1] });
    const pending = await storeTiny(repository, { image: [2, 3] });
    here.clock.pass(hour);
    expect(await visit()).toMatchObject({ condemned: { packs: 0 }, kept: [{ reason: "young", packs: 2 }] });
    const point = await pending.commit();
    expect(await readTiny(repository, point)).toEqual(expectedContents({ image: [2, 3] }));
    const store = await BlobStore.load(repository);
    expect(store.condemned.size).toBe(0);
  });

  test("a third one, with nothing new, changes nothing", async () => {
    const first = await captureTiny(repository, { image: [1, 2] });
    await captureTiny(repository, { image: [3, 4] });
    await forget(first);
    for (let i = 0; i < 2; i++) {
      here.clock.pass(grace);
      await visit();
    }
    const before = here.disk.contents();
    here.clock.pass(grace);
    expect(await visit()).toMatchObject({
      condemned: { packs: 0 },
      deleted: { packs: 0 },
      cleaned: 0,
      nextVisit: undefined,
    });
    expect(here.disk.contents()).toEqual(before);
  });

  test("a dry run says the same and writes nothing", async () => {
    const first = await captureTiny(repository, { image: [1, 2] });
    await captureTiny(repository, { image: [3, 4] });
    await forget(first);
    here.clock.pass(grace);
    for (let i = 0; i < 2; i++) {
      const before = here.disk.contents();
      const planned = await visit({ dryRun: true });
      expect(here.disk.contents()).toEqual(before);
      const done = await visit();
      expect({ ...planned, dryRun: false, nextVisit: 0 }).toEqual({ ...done, nextVisit: 0 });
      here.clock.pass(grace);
    }
  });
});

describe("writers beside a sweep", () => {
  test("one that began before the first visit keeps what it relies on", async () => {
    const first = await captureTiny(repository, { image: [1, 2, 3] });
    await captureTiny(repository, { image: [4] }, { source: "other" });
    here.clock.pass(grace);
    const store = await BlobStore.load(repository);
    await forget(first);
    await visit();
    const second = await captureTiny(repository, { image: [1, 2, 3] }, { store });
    here.clock.pass(grace);
    expect(await visit()).toMatchObject({ deleted: { packs: 0 }, kept: [{ reason: "needed-again", packs: 2 }] });
    expect(await readTiny(repository, second)).toEqual(expectedContents({ image: [1, 2, 3] }));
    // From then on the packs may be relied upon again.
    expect((await BlobStore.load(repository)).condemned.size).toBe(0);
  });

  test("one that begins between the visits stores anew what is condemned", async () => {
    const first = await captureTiny(repository, { image: [1, 2, 3] });
    await captureTiny(repository, { image: [4] }, { source: "other" });
    await forget(first);
    here.clock.pass(grace);
    await visit();
    const second = await captureTiny(repository, { image: [1, 2, 3] });
    here.clock.pass(grace);
    expect(await visit()).toMatchObject({ deleted: { packs: 2 } });
    expect(await readTiny(repository, second)).toEqual(expectedContents({ image: [1, 2, 3] }));
  });

  test("a point that isn't in the record may not be relied upon unseen", async () => {
    const first = await captureTiny(repository, { image: [1, 2, 3] });
    const other = await captureTiny(repository, { image: [4] }, { source: "other" });
    here.clock.pass(grace);
    const old = await BlobStore.load(repository);
    await forget(first);
    await visit();
    const second = await captureTiny(repository, { image: [1, 2, 3] }, { store: old });
    const store = await BlobStore.load(repository);
    expect(store.mayRelyOn(other.id)).toBe(true);
    expect(store.mayRelyOn(second.id)).toBe(false);
  });

  test("a capture may outlive the point that it began from, if it follows that rule", async () => {
    const content = { image: [1, 2, 3] };
    const first = await captureTiny(repository, content);
    await captureTiny(repository, { image: [4] }, { source: "other" });
    here.clock.pass(grace);
    const beforeTheVisit = await BlobStore.load(repository);
    await forget(first);
    await visit();
    const second = await captureTiny(repository, content, { store: beforeTheVisit });
    here.clock.pass(2 * hour);
    const between = await BlobStore.load(repository);
    expect(between.mayRelyOn(second.id)).toBe(false);
    await forget(second);
    here.clock.pass(grace - 2 * hour);
    expect(await visit()).toMatchObject({ deleted: { packs: 2 } });
    // One that looked up each blob has stored them anew. One that relied on the second point unseen would be lost.
    here.clock.pass(1);
    const right = await captureTiny(repository, content, { store: between });
    expect(await readTiny(repository, right)).toEqual(expectedContents(content));
    const store = await BlobStore.load(repository);
    for (const id of [...between.condemned].map((number) => between.packs.get(number).id)) {
      expect(store.present.has(id)).toBe(false);
    }
  });

  test("a store is loaded again when a sweep replaces an index object meanwhile", async () => {
    const first = await captureTiny(repository, { image: [1, 2] });
    await captureTiny(repository, { image: [3, 4] });
    await forget(first);
    here.clock.pass(grace);
    await visit();
    here.clock.pass(grace);
    const [index = ""] = await namesOf(repository.storage, "index/");
    let overtaken = false;
    const storage = overriding(repository.storage, {
      get: async (name, range, call) => {
        if (name === index && !overtaken) {
          overtaken = true;
          await visit();
        }
        return await repository.storage.get(name, range, call);
      },
    });
    const store = await BlobStore.load({ ...repository, storage });
    expect(overtaken).toBe(true);
    expect([...store.lost]).toEqual([]);
  });
});

describe("packs with little in use", () => {
  test("are rewritten, and go with the second visit", async () => {
    const image = Array.from({ length: 20 }, (_, i) => i + 1);
    const first = await captureTiny(repository, { image });
    const second = await captureTiny(repository, { image: [1, 2, 99] });
    await forget(first);
    here.clock.pass(grace);
    const before = await packBytes();
    const limits = { ...usualLimits, smallPack: 0 };
    const one = await visit({ limits });
    expect(one.rewritten.packs).toBeGreaterThan(0);
    expect(await readTiny(repository, second)).toEqual(expectedContents({ image: [1, 2, 99] }));
    here.clock.pass(grace);
    const two = await visit({ limits });
    expect(two.deleted).toEqual(one.condemned);
    expect(await packBytes()).toBeLessThan(before - 17 * 512);
    expect(await readTiny(repository, second)).toEqual(expectedContents({ image: [1, 2, 99] }));
  });

  test("are named in a record of their own: what is unused goes also when rewriting is cut off each time", async () => {
    const dead = await captureTiny(repository, { image: [100, 101] });
    const image = Array.from({ length: 20 }, (_, i) => i + 1);
    const first = await captureTiny(repository, { image });
    const second = await captureTiny(repository, { image: [1, 2, 99] });
    await forget(dead, first);
    here.clock.pass(grace);
    const limits = { ...usualLimits, smallPack: 0 };
    const cutOff = async (): Promise<void> => {
      const stop = new AbortController();
      const onStep = (step: string): void => void (step === "rewriting" && stop.abort());
      expect(await rejection(visit({ limits, onStep, signal: stop.signal }))).toMatchObject({ code: "cancelled" });
    };
    const before = await namesOf(repository.storage, "packs/");
    await cutOff();
    here.clock.pass(grace);
    await cutOff();
    const after = new Set(await namesOf(repository.storage, "packs/"));
    expect(before.filter((name) => !after.has(name))).toHaveLength(3);
    const { rewritten } = await visit({ limits });
    expect(rewritten.packs).toBe(2);
    expect(await readTiny(repository, second)).toEqual(expectedContents({ image: [1, 2, 99] }));
    here.clock.pass(grace);
    expect(await visit({ limits })).toMatchObject({ deleted: rewritten });
    expect(await readTiny(repository, second)).toEqual(expectedContents({ image: [1, 2, 99] }));
  });

  test("are joined when they are small and many", async () => {
    const contents = Array.from({ length: 10 }, (_, i) => ({ image: [10 * i + 1, 10 * i + 2] }));
    const points: RecoveryPoint[] = [];
    for (const content of contents) points.push(await captureTiny(repository, content));
    here.clock.pass(grace);
    expect(await visit()).toMatchObject({ rewritten: { packs: 20 } });
    here.clock.pass(grace);
    await visit();
    expect(await namesOf(repository.storage, "packs/")).toHaveLength(2);
    for (const [i, point] of points.entries())
      expect(await readTiny(repository, point)).toEqual(expectedContents(contents[i] ?? {}));
  });

  test("stay as they are when there is no room, and the rest is done", async () => {
    const first = await captureTiny(repository, { image: [1, 2, 3, 4, 5, 6, 7, 8] });
    await captureTiny(repository, { image: [1, 99] });
    const dead = await captureTiny(repository, { image: [100, 101] });
    await forget(first, dead);
    here.clock.pass(grace);
    const { storage } = repository;
    const full = overriding(storage, {
      put: async (name, data, call) => {
        if (name.startsWith("packs/")) here.disk.spaceLeft = 0;
        await storage.put(name, data, call).finally(() => {
          here.disk.spaceLeft = Number.MAX_SAFE_INTEGER;
        });
      },
    });
    const limits = { ...usualLimits, smallPack: 0 };
    const report = await sweep({ ...repository, storage: full }, { grace, executor: inlineExecutor, limits });
    expect(report).toMatchObject({ noRoom: true, rewritten: { packs: 0 } });
    expect(report.condemned.packs).toBeGreaterThan(0);
    here.clock.pass(grace);
    expect((await visit({ limits })).deleted).toEqual(report.condemned);
  });
});

describe("of several copies", () => {
  test("the only whole one stays, though a newer one counts, until a repair", async () => {
    const content = { image: [1, 2, 3] };
    const loaded = await BlobStore.load(repository);
    const point = await captureTiny(repository, content);
    const first = await namesOf(repository.storage, "packs/");
    here.clock.pass(hour);
    // Two captures at a time: the second doesn't see what the first has stored.
    await captureTiny(repository, content, { source: "other", store: loaded });
    const second = (await namesOf(repository.storage, "packs/")).filter((name) => !first.includes(name));
    for (const name of second) await rot(name);
    for (let i = 0; i < 3; i++) {
      here.clock.pass(grace);
      await visit();
    }
    expect(await namesOf(repository.storage, "packs/")).toEqual(expect.arrayContaining(first));
    expect(await readTiny(repository, point)).toEqual(expectedContents(content));
    const repaired = await repairRepository(repository, { executor: inlineExecutor, replicas: [] });
    expect(repaired.lost).toEqual([]);
    for (let i = 0; i < 3; i++) {
      here.clock.pass(grace);
      await visit();
    }
    expect((await namesOf(repository.storage, "packs/")).filter((name) => second.includes(name))).toEqual([]);
    expect(await readTiny(repository, point)).toEqual(expectedContents(content));
  });
});

describe("data that nobody has any more", () => {
  const content = { image: [1, 2, 3] };

  test.each([
    { how: "damaged", harm: rot, unreadable: 1, dropped: 1 },
    { how: "missing", harm: async (name: string) => await repository.storage.delete(name), unreadable: 3, dropped: 0 },
  ])("keeps no sweep from its work, once a repair has done what it could ($how)", async ({ harm, ...expected }) => {
    const dead = await captureTiny(repository, { image: [4, 5, 6] }, { source: "other" });
    const others = await packsOf("data");
    const point = await captureTiny(repository, content);
    const [bad = ""] = (await packsOf("data")).filter((name) => !others.includes(name));
    await harm(bad);
    const repaired = await repairRepository(repository, { executor: inlineExecutor, replicas: [] });
    const { unreadable } = expected;
    expect(repaired.lost).toHaveLength(unreadable);
    await forget(dead);
    here.clock.pass(grace);
    expect(await visit({ dryRun: true })).toMatchObject({ unreadable, condemned: { packs: 2 } });
    expect(await visit()).toMatchObject({ unreadable, condemned: { packs: 2 }, adopted: { packs: 0 } });
    here.clock.pass(grace);
    expect(await visit()).toMatchObject({ unreadable, deleted: { packs: 2 } });
    // What a repair could still use stays, and nobody relies on it: a capture stores it again.
    expect(await namesOf(repository.storage, bad)).toHaveLength(expected.dropped);
    await captureTiny(repository, content, { previous: point });
    here.clock.pass(grace);
    expect(await visit()).toMatchObject({ unreadable: 0, condemned: { packs: expected.dropped } });
    here.clock.pass(grace);
    expect(await visit()).toMatchObject({ deleted: { packs: expected.dropped } });
    expect(await readTiny(repository, point)).toEqual(expectedContents(content));
  });

  test("keeps its place in the index: a listing may have left it out", async () => {
    const point = await captureTiny(repository, content);
    const [data = ""] = await packsOf("data");
    const others: PackInfo[] = [];
    const onIndex = (_name: string, packs: readonly PackInfo[]): void =>
      void others.push(...packs.filter(({ id }) => packName(id) !== data));
    await BlobStore.load(repository, { onIndex });
    const [index = ""] = await namesOf(repository.storage, "index/");
    await putIndex(repository, others, {});
    const storage = overriding(repository.storage, {
      async *list(...call) {
        const last: ObjectInfo[] = [];
        for await (const info of repository.storage.list(...call)) {
          // Read last, it says nothing new of the packs that are listed.
          if (info.name === index) last.push(info);
          else if (info.name !== data) yield info;
        }
        yield* last;
      },
    });
    here.clock.pass(grace);
    const seen = { ...repository, storage };
    expect(await sweep(seen, { grace, executor: inlineExecutor })).toMatchObject({ unreadable: 3 });
    expect(await readTiny(repository, point)).toEqual(expectedContents(content));
    expect(await visit()).toMatchObject({ unreadable: 0, adopted: { packs: 0 } });
  });
});

/** Three packs of which a tenth, three tenths and half are in use: 1, 3 and 5 blocks, which take 528 bytes each. */
async function threeSparsePacks(): Promise<void> {
  const ten = (first: number): number[] => Array.from({ length: 10 }, (_, i) => first + i);
  const half = await captureTiny(repository, { image: ten(100) });
  const tenth = await captureTiny(repository, { image: ten(200) });
  const some = await captureTiny(repository, { image: ten(300) });
  await captureTiny(repository, { image: [100, 101, 102, 103, 104, 200, 300, 301, 302] });
  await forget(half, tenth, some);
  here.clock.pass(grace);
}

describe("rewriting leaves room for captures", () => {
  const limits = { ...usualLimits, smallPack: 0 };

  test.each([
    [1000, 0],
    [1056, 1],
    [4224, 2],
    [20_000, 3],
  ])("in a folder with %i bytes free, which it halves at most: %i packs", async (free, packs) => {
    await threeSparsePacks();
    repository = { ...repository, address: { kind: "fs", location: "primary", path: "/repository" } };
    const files = { freeSpace: () => Promise.resolve(free) };
    expect(await visit({ limits, files })).toMatchObject({ rewritten: { packs }, noRoom: false });
  });

  test("elsewhere, where nobody can tell what is free: as much as it has deleted, or a little", async () => {
    await threeSparsePacks();
    // What has the least in use goes first: all the bytes of the pack with one block are more than three blocks take.
    expect(await visit({ limits: { ...limits, leastRoom: 528 } })).toMatchObject({ rewritten: { packs: 1 } });
    here.clock.pass(grace);
    const second = await visit({ limits: { ...limits, leastRoom: 528 } });
    expect(second.deleted.bytes).toBeGreaterThan(8 * 528);
    expect(second).toMatchObject({ rewritten: { packs: 2 }, noRoom: false });
  });

  test("what was copied before the storage was full is indexed, so that its old packs go", async () => {
    await threeSparsePacks();
    await captureTiny(repository, { files: { a: [1, 2, 3] } });
    here.clock.pass(grace);
    const faulty = new FaultyStorage(repository.storage, here.clock);
    faulty.script({ operation: "put", name: /^packs/, nth: 2, fault: { kind: "fail", code: "storage_full" } });
    const options = { grace, executor: inlineExecutor, limits: { ...limits, share: 2 } };
    expect(await sweep({ ...repository, storage: faulty }, options)).toMatchObject({ noRoom: true });
    expect((await BlobStore.load(repository)).orphans).toEqual([]);
    here.clock.pass(grace);
    // The new data pack was stored, that of metadata wasn't.
    expect(await visit({ limits: noRewriting })).toMatchObject({ condemned: { packs: 4 } });
  });
});

describe("packs in no index", () => {
  test("are deleted at the second visit when nothing needs them", async () => {
    const point = await captureTiny(repository, { image: [1, 2] });
    const indexes = await namesOf(repository.storage, "index/");
    await storeTiny(repository, { image: [3, 4] });
    // A writer that was killed before it wrote its index.
    for (const name of await namesOf(repository.storage, "index/")) {
      if (!indexes.includes(name)) await repository.storage.delete(name);
    }
    here.clock.pass(grace);
    expect(await visit()).toMatchObject({ condemned: { packs: 2 } });
    // Nobody who begins now may rely on them, even if they are indexed after all.
    const store = await BlobStore.load(repository);
    expect([...store.sweeps.values()]).toMatchObject([{ condemned: [], orphans: store.orphans.map(({ id }) => id) }]);
    here.clock.pass(grace);
    expect(await visit()).toMatchObject({ deleted: { packs: 2 } });
    expect(await readTiny(repository, point)).toEqual(expectedContents({ image: [1, 2] }));
    expect((await BlobStore.load(repository)).orphans).toEqual([]);
  });

  test("are indexed again when a point needs them", async () => {
    const point = await captureTiny(repository, { image: [1, 2] });
    const other = await captureTiny(repository, { image: [3, 4] });
    for (const name of await namesOf(repository.storage, "index/")) await repository.storage.delete(name);
    here.clock.pass(grace);
    expect(await visit()).toMatchObject({ adopted: { packs: 4 }, condemned: { packs: 0 } });
    expect(await readTiny(repository, point)).toEqual(expectedContents({ image: [1, 2] }));
    expect(await readTiny(repository, other)).toEqual(expectedContents({ image: [3, 4] }));
  });

  test("without a table that opens go as well, when nothing needs them", async () => {
    await captureTiny(repository, { image: [1, 2] });
    const junk = packName("ab".repeat(32));
    await repository.storage.put(junk, [Buffer.alloc(5000, 1)]);
    here.clock.pass(grace);
    expect(await visit()).toMatchObject({ condemned: { packs: 1, bytes: 5000 } });
    here.clock.pass(grace);
    expect(await visit()).toMatchObject({ deleted: { packs: 1, bytes: 5000 } });
    expect(await namesOf(repository.storage, junk)).toEqual([]);
  });
});

describe("small objects", () => {
  test("of forgotten points go, those of others stay", async () => {
    const first = await captureTiny(repository, { image: [1] });
    const second = await captureTiny(repository, { image: [2] }, { previous: first });
    const third = await captureTiny(repository, { image: [3] }, { previous: second });
    const time = new Date(here.clock.now()).toISOString();
    for (const { id } of [first, third]) {
      await putSmallObject(repository, "tags", { version: 1, point: id, time, tags: ["a"] });
      await putSmallObject(repository, "proofs", {
        version: 1,
        point: id,
        time,
        method: "restore",
        result: "passed",
        seconds: 1,
        detail: "",
      });
    }
    await putSmallObject(repository, "holds", { version: 1, point: third.id, time, reason: "kept" });
    await visit();
    await forget(first);
    await visit();
    expect(await namesOf(repository.storage, "tags/")).toEqual([expect.stringContaining(third.id)]);
    expect(await namesOf(repository.storage, "proofs/")).toEqual([expect.stringContaining(third.id)]);
    expect(await namesOf(repository.storage, "holds/")).toHaveLength(1);
    // The second point's manifest names the first as its previous.
    expect(await namesOf(repository.storage, "forgotten/")).toEqual([`forgotten/${first.id}`]);
    await forget(second);
    await visit();
    await visit();
    expect(await namesOf(repository.storage, "forgotten/")).toHaveLength(2);
    here.clock.pass(recordLasts);
    await visit();
    // The third names the second; nobody names the first any more.
    expect(await namesOf(repository.storage, "forgotten/")).toEqual([`forgotten/${second.id}`]);
    expect(await namesOf(repository.storage, "sweeps/")).toHaveLength(1);
  });

  test("explain a point that is gone until no record asks for it, also when one can't be deleted", async () => {
    const first = await captureTiny(repository, { image: [1] });
    await captureTiny(repository, { image: [2] });
    await visit();
    await forget(first);
    here.clock.pass(recordLasts);
    const faulty = new FaultyStorage(repository.storage, here.clock);
    faulty.script({ operation: "delete", name: /^sweeps/, fault: { kind: "fail", code: "storage_failed" } });
    const failed = rejection(sweep({ ...repository, storage: faulty }, { grace, executor: inlineExecutor }));
    expect(await failed).toMatchObject({ code: "storage_failed" });
    expect(await namesOf(repository.storage, "forgotten/")).toEqual([`forgotten/${first.id}`]);
    expect(await visit()).toMatchObject({ cleaned: 2 });
    expect(await namesOf(repository.storage, "forgotten/")).toEqual([]);
  });
});

test("of the configurations the newest ten stay", async () => {
  await captureTiny(repository, { image: [1] });
  for (let number = 0; number < 12; number++) {
    here.clock.pass(hour);
    const time = new Date(here.clock.now()).toISOString();
    await putSmallObject(repository, "config", { version: 1, time, host: "h", path: "/c", text: String(number) });
  }
  const names = (await namesOf(repository.storage, "config/")).toSorted();
  expect(await visit()).toMatchObject({ cleaned: 2 });
  expect((await namesOf(repository.storage, "config/")).toSorted()).toEqual(names.slice(2));
});

describe("refusals", () => {
  test("without any point", async () => {
    await forget(await captureTiny(repository, { image: [1, 2] }));
    expect(await rejection(visit())).toMatchObject({ code: "sweep_unsafe" });
  });

  test("when a point that an earlier visit saw is missing, unless its loss is accepted", async () => {
    const lost = await captureTiny(repository, { image: [1, 2] });
    await captureTiny(repository, { image: [3, 4] });
    await visit();
    await repository.storage.delete(lost.name);
    here.clock.pass(grace);
    expect(await rejection(visit())).toMatchObject({ code: "sweep_unsafe", message: expect.stringContaining(lost.id) });
    expect(await visit({ acceptLost: new Set([lost.id]) })).toMatchObject({ condemned: { packs: 2 } });
    here.clock.pass(grace);
    expect(await visit()).toMatchObject({ deleted: { packs: 2 } });
  });

  test("when a manifest is damaged, unless its loss is accepted", async () => {
    const bad = await captureTiny(repository, { image: [1, 2] });
    await captureTiny(repository, { image: [3, 4] });
    await repository.storage.put(bad.name, [Buffer.from("nonsense")]);
    here.clock.pass(grace);
    expect(await rejection(visit())).toMatchObject({ code: "damaged", message: expect.stringContaining(bad.id) });
    await visit({ acceptLost: new Set([bad.id]) });
    expect(await namesOf(repository.storage, bad.name)).toEqual([]);
    here.clock.pass(grace);
    expect(await visit()).toMatchObject({ deleted: { packs: 2 } });
  });

  test("when the record of a forgotten point is damaged, unless it is accepted that the point is gone: then it goes", async () => {
    const [first, second] = [
      await captureTiny(repository, { image: [1] }),
      await captureTiny(repository, { image: [2] }),
    ];
    const third = await captureTiny(repository, { image: [3] }, { previous: second });
    await visit();
    await forget(first, second);
    for (const { id } of [first, second]) await repository.storage.put(`forgotten/${id}`, [Buffer.from("nonsense")]);
    expect(await rejection(visit())).toMatchObject({
      code: "damaged",
      message: expect.stringContaining("--accept-lost"),
    });
    await visit({ acceptLost: new Set([first.id, second.id]) });
    // The third point's manifest names the second one.
    expect(await namesOf(repository.storage, "forgotten/")).toEqual([`forgotten/${second.id}`]);
    expect(await visit()).toMatchObject({ points: 1 });
    await captureTiny(repository, { image: [4] }, { source: "other" });
    await forget(third);
    await visit({ acceptLost: new Set([second.id]) });
    expect(await namesOf(repository.storage, "forgotten/")).toEqual([`forgotten/${third.id}`]);
  });

  test("when a node of a tree can't be read, naming the point and the path", async () => {
    const point = await captureTiny(repository, { image: [1, 2, 3] });
    for (const name of await packsOf("metadata")) await repository.storage.delete(name);
    const error = await rejection(visit());
    expect(error).toMatchObject({ code: "damaged" });
    expect(error.message).toContain("image in the recovery point");
    expect(error.message).toContain(point.id.slice(0, 12));
  });

  test("when something to be rewritten is damaged: it isn't named", async () => {
    const first = await captureTiny(repository, { image: [1, 2, 3, 4, 5, 6, 7, 8] });
    await captureTiny(repository, { image: [1, 99] });
    await forget(first);
    here.clock.pass(grace);
    const store = await BlobStore.load(repository);
    const [, pack] = [...store.packs.all()].find(([, one]) => one.class === "data") ?? [];
    const name = packName(pack?.id ?? "");
    const data = await repository.storage.get(name);
    data.fill(0, 60, 100);
    await repository.storage.put(name, [data]);
    here.clock.pass(grace);
    expect(await rejection(visit({ limits: { ...usualLimits, smallPack: 0 } }))).toMatchObject({ code: "damaged" });
    const { sweeps } = await BlobStore.load(repository);
    expect([...sweeps.values()].map(({ condemned }) => condemned)).toEqual([
      [expect.not.stringContaining(pack?.id ?? "")],
    ]);
    expect(await visit({ limits: noRewriting })).toBeDefined();
  });
});

describe("a bad sector", () => {
  test("under a manifest, a sweep record or an index object: nothing is deleted", async () => {
    const first = await captureTiny(repository, { image: [1, 2] });
    await captureTiny(repository, { image: [3, 4] }, { previous: first });
    await visit();
    await forget(first);
    here.clock.pass(grace);
    await visit();
    here.clock.pass(grace);
    const before = await namesOf(repository.storage);
    for (const folder of ["points", "sweeps", "index"]) {
      const [name = ""] = before.filter((one) => one.startsWith(`${folder}/`));
      const sick = withBadSector(repository, [name]);
      const refused = rejection(sweep(sick, { grace, executor: inlineExecutor }));
      expect(await refused).toMatchObject({ code: "storage_failed" });
      expect((await namesOf(repository.storage)).filter((one) => one !== "lease")).toEqual(
        before.filter((one) => one !== "lease"),
      );
    }
    expect((await visit()).deleted.packs).toBeGreaterThan(0);
  });

  test("under the table of a pack that no index names: that stays, and the sweep goes on", async () => {
    await captureTiny(repository, { image: [1, 2] });
    const indexes = await namesOf(repository.storage, "index/");
    await storeTiny(repository, { image: [50, 51] });
    for (const name of await namesOf(repository.storage, "index/"))
      if (!indexes.includes(name)) await repository.storage.delete(name);
    const orphans = (await BlobStore.load(repository)).orphans.map(({ id }) => packName(id));
    const sick = withBadSector(repository, orphans);
    for (let i = 0; i < 3; i++) {
      await sweep(sick, { grace, executor: inlineExecutor });
      here.clock.pass(grace);
    }
    expect(await namesOf(repository.storage, "packs/")).toEqual(expect.arrayContaining(orphans));
  });
});
