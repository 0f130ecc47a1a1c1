import { describe, expect, it } from "vitest";
import { BlobStore } from "../../src/repository/blobs/blob-store.ts";
import { forgetPoint, loadCatalog } from "../../src/repository/points/catalog.ts";
import { imageBlock } from "../../src/repository/format.ts";
import { packName } from "../../src/repository/blobs/pack.ts";
import type { Repository } from "../../src/repository/repository.ts";
import { checkRepository } from "../../src/repository/check/check.ts";
import { inlineExecutor } from "../../src/repository/threads/executor.ts";
import type { ObjectInfo, Storage } from "../../src/storage/storage.ts";
import { collect } from "../helpers/collect.ts";
import { putSmallObject } from "../../src/repository/points/small-objects.ts";
import { prepareReplica } from "../../src/replicate/prepare-replica.ts";
import { replicate } from "../../src/replicate/replicate.ts";
import { FaultyStorage, flipBit } from "../helpers/faulty-storage.ts";
import { ManualClock } from "../helpers/manual-clock.ts";
import { rejection } from "../helpers/rejection.ts";
import { namesOf, overriding } from "../helpers/repository.ts";
import {
  type Content,
  contentOf,
  copiesOf,
  day,
  emptySite,
  expected,
  open,
  pointsOf,
  primarySite,
  readAll,
  replicateTo,
  storageOn,
  take,
} from "./sites.ts";

const base: Content = {
  image: Array.from({ length: 300 }, (_, at) => (at % 7 === 0 ? 0 : at)),
  stream: [1, 2, 3000, 0],
  files: { a: 4000, b: 4001, zero: 0 },
};
const changed: Content = { ...base, image: base.image.with(290, 9000), files: { ...base.files, c: 9001 } };

function numbersTo(count: number): number[] {
  return Array.from({ length: count }, (_, at) => at + 1);
}

async function held(repository: Repository, point: string): Promise<void> {
  const object = { version: 1, point, time: "2026-01-02T00:00:00.000Z", reason: "kept" } as const;
  await putSmallObject(repository, "holds", object);
}

async function tagged(repository: Repository, point: string, time: string, tags: string[]): Promise<void> {
  await putSmallObject(repository, "tags", { version: 1, point, time, tags });
}

describe("replicate", () => {
  it("lists nothing twice, since a far replica takes its time for each list; names of holds and tags excepted", async () => {
    const primary = await open(await primarySite());
    await take(primary, base, { time: day });
    const site = storageOn(await emptySite(), "replica");
    await replicateTo(primary, site);
    await take(primary, changed, { time: 2 * day });
    const lists: string[] = [];
    const list: Storage["list"] = (prefix, call) => {
      lists.push(prefix);
      return site.list(prefix, call);
    };
    await replicateTo(primary, overriding(site, { list }));
    const surveys = ["points/", "tags/", "holds/", "proofs/", "readers/", "forgotten/", "sweeps/", "index/", "packs/"];
    expect(lists.toSorted()).toEqual(["keys/", ...surveys, "holds/", "tags/"].toSorted());
  });

  it("reads packs into memory that it uses again", async () => {
    const primary = await open(await primarySite());
    await take(primary, { image: numbersTo(40), stream: [], files: {}, length: 2 ** 18 }, { time: day });
    const into: unknown[] = [];
    const storage = overriding(primary.storage, {
      get: async (name, range, options) => {
        if (options?.into !== undefined) into.push(options.into.buffer);
        return await primary.storage.get(name, range, options);
      },
    });
    await replicateTo({ ...primary, storage }, storageOn(await emptySite(), "replica"));
    expect(into.length).toBeGreaterThan(new Set(into).size);
    expect(into.every((memory) => memory instanceof SharedArrayBuffer)).toBe(true);
  });

  it("leaves a replica that restores with the key alone", async () => {
    const primary = await open(await primarySite());
    const first = await take(primary, base, { time: day });
    const second = await take(primary, changed, { time: 2 * day });
    const site = await emptySite();
    const report = await replicateTo(primary, storageOn(site, "replica"));
    expect(report).toMatchObject({ failed: [], failedNotes: [], ended: undefined, adoptedPacks: 0 });
    expect(report.replicated.map(({ id }) => id).toSorted()).toEqual([first.id, second.id].toSorted());
    expect(report.backlog).toEqual({ lacking: [], estimatedBytes: 0 });
    expect(await readAll(site)).toEqual(
      new Map([
        [first.id, expected(base)],
        [second.id, expected(changed)],
      ]),
    );
  });

  it("sends nothing the second time, and doesn't even read the indexes", async () => {
    const primary = await open(await primarySite());
    await take(primary, base, { time: day });
    const site = await emptySite();
    await replicateTo(primary, storageOn(site, "replica"));
    const before = site.contents();
    const storage = new FaultyStorage(storageOn(site, "replica"));
    const report = await replicateTo(primary, storage);
    expect(report).toMatchObject({ replicated: [], blobs: 0, bytesSent: 0, bytesRead: 0 });
    expect(storage.calls.filter((call) => /index\/|packs\//.test(call))).toEqual([]);
    expect(site.contents()).toEqual(before);
  });

  it("sends what is new and hardly more", async () => {
    const primary = await open(await primarySite());
    const image = Array.from({ length: 40 }, (_, at) => at + 1);
    const content = { image, stream: [], files: {}, length: imageBlock };
    const first = await take(primary, content, { time: day });
    const site = await emptySite();
    const initial = await replicateTo(primary, storageOn(site, "replica"));
    expect(initial.bytesSent).toBeLessThan(first.manifest.statistics.stored * 1.05);

    const next = await take(
      primary,
      { ...content, image: [...image.slice(0, 20), ...image.map((number) => number + 100)] },
      { time: 2 * day },
    );
    const report = await replicateTo(primary, storageOn(site, "replica"));
    expect(report.bytesSent).toBeLessThan(next.manifest.statistics.stored * 1.05);
    expect(report.bytesSent).toBeGreaterThan(next.manifest.statistics.stored);
    expect(report.bytesRead).toBeLessThan(next.manifest.statistics.stored * 1.05);
  });

  it("sends only points that are wanted, and none that was forgotten at the replica", async () => {
    const primary = await open(await primarySite());
    const takeAt = async (at: number): Promise<string> =>
      (await take(primary, { ...base, stream: [at] }, { time: at * day })).id;
    const ids = [await takeAt(1), await takeAt(2), await takeAt(3)];
    const site = await emptySite();
    const wanted =
      () =>
      ({ id }: { id: string }) =>
        id !== ids[0];
    await replicateTo(primary, storageOn(site, "replica"), { wanted });
    const replica = await open(site, "replica");
    expect((await pointsOf(replica)).map(({ id }) => id)).toEqual(ids.slice(1));

    for (const point of await pointsOf(replica)) {
      if (point.id === ids[1]) await forgetPoint(replica, point, "its own retention");
    }
    const report = await replicateTo(primary, storageOn(site, "replica"), { wanted });
    expect(report).toMatchObject({ replicated: [], backlog: { lacking: [] } });
  });

  it("believes no names there: what doesn't open is sent, and then restores", async () => {
    const primary = await open(await primarySite());
    const damaged = await take(primary, base, { time: day });
    const site = await emptySite();
    const storage = storageOn(site, "replica");
    await replicateTo(primary, storage);
    const other = await take(primary, changed, { time: 2 * day });
    const told = await take(primary, { ...changed, stream: [5] }, { time: 3 * day });
    await storage.put(damaged.name, [(await storage.get(damaged.name)).subarray(0, -1)]);
    await storage.put(other.name, [Buffer.from("rubbish")]);
    await storage.put(`forgotten/${told.id}`, []);
    const report = await replicateTo(primary, storage);
    expect(report).toMatchObject({ ended: undefined, failed: [], backlog: { lacking: [] } });
    expect(report.replicated.map(({ id }) => id)).toEqual([damaged.id, other.id, told.id]);
    expect([...(await readAll(site)).keys()]).toEqual([damaged.id, other.id, told.id]);
  });

  it("doesn't take the record of another forgotten point for this one's", async () => {
    const primary = await open(await primarySite());
    const [one, other] = [await take(primary, base, { time: day }), await take(primary, changed, { time: 2 * day })];
    const storage = storageOn(await emptySite(), "replica");
    await replicateTo(primary, storage);
    const replica = { ...primary, storage };
    for (const point of await pointsOf(replica)) if (point.id === one.id) await forgetPoint(replica, point, "test");
    await storage.put(`forgotten/${other.id}`, [await storage.get(`forgotten/${one.id}`)]);
    await storage.delete(other.name);
    expect((await replicateTo(primary, storage)).replicated.map(({ id }) => id)).toEqual([other.id]);
  });

  it("leaves alone what only the replica still has", async () => {
    const primary = await open(await primarySite());
    const old = await take(primary, base, { time: day });
    const site = await emptySite();
    await replicateTo(primary, storageOn(site, "replica"));
    for (const point of await pointsOf(primary)) await forgetPoint(primary, point, "test");
    const young = await take(primary, changed, { time: 2 * day });
    await replicateTo(primary, storageOn(site, "replica"));
    expect([...(await readAll(site)).keys()].toSorted()).toEqual([old.id, young.id].toSorted());
  });

  it("makes a lost primary anew from a replica", async () => {
    const primary = await open(await primarySite());
    await take(primary, base, { time: day });
    await take(primary, changed, { time: 2 * day });
    const site = await emptySite();
    await replicateTo(primary, storageOn(site, "replica"));
    const anew = await emptySite();
    await replicateTo(await open(site, "replica"), storageOn(anew, "primary"));
    expect(await readAll(anew)).toEqual(await readAll(site));
  });

  it("brings holds and tags, and takes no hold away: one that lacks may have been stolen", async () => {
    const primary = await open(await primarySite());
    const one = await take(primary, base, { time: day });
    const other = await take(primary, changed, { time: 2 * day });
    await held(primary, one.id);
    await tagged(primary, one.id, "2026-01-01T00:00:00.000Z", ["old"]);
    await tagged(primary, one.id, "2026-01-02T00:00:00.000Z", ["new"]);
    const site = await emptySite();
    await replicateTo(primary, storageOn(site, "replica"));
    const replica = await open(site, "replica");
    expect(await pointsOf(replica)).toMatchObject([
      { id: one.id, hold: { reason: "kept" }, tags: ["new"] },
      { id: other.id, hold: undefined, tags: [] },
    ]);
    expect(await replicateTo(primary, storageOn(site, "replica"))).toMatchObject({ bytesSent: 0 });

    await primary.storage.delete(`holds/${one.id}`);
    await held(primary, other.id);
    await tagged(primary, other.id, "2026-01-03T00:00:00.000Z", ["later"]);
    await replicateTo(primary, storageOn(site, "replica"));
    expect(await pointsOf(replica)).toMatchObject([
      { id: one.id, hold: { reason: "kept" }, tags: ["new"] },
      { id: other.id, hold: { reason: "kept" }, tags: ["later"] },
    ]);
  });

  it("brings no damaged hold or tags, names them, and sends the points all the same", async () => {
    const primary = await open(await primarySite());
    const { id } = await take(primary, base, { time: day });
    await held(primary, id);
    await tagged(primary, id, "2026-01-01T00:00:00.000Z", ["a"]);
    const damaged = [...(await namesOf(primary.storage, "holds/")), ...(await namesOf(primary.storage, "tags/"))];
    for (const name of damaged) await primary.storage.put(name, [Buffer.from("nonsense")]);
    const site = await emptySite();
    const report = await replicateTo(primary, storageOn(site, "replica"));
    expect(report.failedNotes.map(({ name, error: { code } }) => `${name} ${code}`).toSorted()).toEqual(
      damaged.map((name) => `${name} damaged`),
    );
    expect(await pointsOf(await open(site, "replica"))).toMatchObject([{ id, hold: undefined, tags: [] }]);
  });

  it("keeps a hold that was set at the replica alone", async () => {
    const primary = await open(await primarySite());
    const gone = await take(primary, base, { time: day });
    await take(primary, changed, { time: 2 * day });
    const site = await emptySite();
    await replicateTo(primary, storageOn(site, "replica"));
    for (const { id } of await pointsOf(primary)) await held(await open(site, "replica"), id);
    await primary.storage.delete(gone.name);
    await replicateTo(primary, storageOn(site, "replica"));
    const there = await pointsOf(await open(site, "replica"));
    expect(there).toMatchObject([{ hold: { reason: "kept" } }, { hold: { reason: "kept" } }]);
  });

  it("doesn't bring proofs, or records of what was forgotten or swept: they are about one location", async () => {
    const primary = await open(await primarySite());
    const gone = await take(primary, base, { time: day });
    for (const point of await pointsOf(primary)) await forgetPoint(primary, point, "test");
    const { id } = await take(primary, changed, { time: 2 * day });
    const time = "2026-01-02T00:00:00.000Z";
    const proof = { method: "read-data", result: "passed", seconds: 1, detail: "" } as const;
    await putSmallObject(primary, "proofs", { version: 1, point: id, time, ...proof });
    await putSmallObject(primary, "sweeps", {
      version: 1,
      time,
      grace: 1,
      points: [],
      condemned: [],
      orphans: [gone.digest],
    });
    const site = await emptySite();
    await replicateTo(primary, storageOn(site, "replica"));
    expect([...site.contents().keys()].filter((name) => /proofs|forgotten|sweeps/.test(name))).toEqual([]);
  });

  it("reports how far it is", async () => {
    const primary = await open(await primarySite());
    for (let at = 1; at <= 3; at++) await take(primary, { ...base, stream: [at] }, { time: at * day });
    const seen: number[] = [];
    await replicateTo(primary, storageOn(await emptySite(), "replica"), {
      onProgress: ({ points, bytes }) => {
        expect(points.total).toBe(3);
        expect(bytes.total).toBeGreaterThan(0);
        seen.push(points.done);
      },
    });
    expect(seen.at(-1)).toBe(3);
    expect(seen).toEqual(seen.toSorted((a, b) => a - b));
  });
});

describe("what a damaged primary can't give", () => {
  it("holds up that point alone, and is named", async () => {
    const site = await primarySite();
    const primary = await open(site);
    const good = await take(primary, { image: [1, 2, 3], stream: [4], files: {} }, { time: day });
    const known = new Set((await BlobStore.load(primary)).present.keys());
    const bad = await take(primary, { image: [1, 2, 5000], stream: [4], files: {} }, { time: 2 * day });
    const store = await BlobStore.load(primary);
    const after = await take(primary, { image: [1, 2, 6000], stream: [4], files: {} }, { time: 3 * day });
    const dataOfBad = [...store.packs.all()].find(([, { id, class: kind }]) => kind === "data" && !known.has(id));
    const storage = new FaultyStorage(storageOn(site, "primary"));
    const name = new RegExp(packName(dataOfBad?.[1].id ?? ""));
    // In the first blob: a pack without a table is another case.
    storage.script({ operation: "get", fault: flipBit(100), name, times: 1000 });
    const target = await emptySite();
    const report = await replicateTo({ ...primary, storage }, storageOn(target, "replica"));
    expect(report.failed).toMatchObject([{ point: { id: bad.id }, error: { code: "damaged" } }]);
    expect(report.failed[0]?.error.message).toContain(`recovery point ${bad.id} of machine`);
    expect(report.backlog?.lacking.map(({ id }) => id)).toEqual([bad.id]);
    expect([...(await readAll(target)).keys()].toSorted()).toEqual([good.id, after.id].toSorted());
  });

  it.each([
    ["packs", "storage_failed", { kind: "fail", code: "storage_failed" }],
    ["points", "storage_failed", { kind: "fail", code: "storage_failed" }],
    ["points", "damaged", flipBit(100)],
  ] as const)("is found out when all of %s can't be read (%s)", async (folder, code, fault) => {
    const site = await primarySite();
    const primary = await open(site);
    await take(primary, base, { time: day });
    const store = await BlobStore.load(primary);
    const { points } = await loadCatalog(primary);
    const storage = new FaultyStorage(storageOn(site, "primary"));
    storage.script({ operation: "get", fault, name: new RegExp(folder), times: 1e9 });
    const target = await emptySite();
    const replica = await prepareReplica({ primary, storage: storageOn(target, "replica"), create: true });
    const faulty = await BlobStore.load({ ...primary, storage });
    const report = await replicate({ primary: faulty, points, replica, wanted: () => () => true, grace: day });
    expect(report.failed).toMatchObject([{ error: { code } }]);
    expect(report.replicated).toEqual([]);
    expect((await readAll(target)).size).toBe(0);
    expect(store.present.size).toBeGreaterThan(0);
  });

  it("is no failure when the point was forgotten meanwhile", async () => {
    const primary = await open(await primarySite());
    const [gone, kept] = [await take(primary, base, { time: day }), await take(primary, changed, { time: 2 * day })];
    const points = await pointsOf(primary);
    await primary.storage.delete(gone.name);
    const report = await replicateTo(primary, storageOn(await emptySite(), "replica"), { points });
    expect(report).toMatchObject({ failed: [], replicated: [{ id: kept.id }], backlog: { lacking: [] } });
  });
});

describe("a replica that fails", () => {
  it("ends the run; what was complete before counts, and the backlog says the rest", async () => {
    const primary = await open(await primarySite());
    for (let at = 1; at <= 3; at++) await take(primary, { ...base, stream: [at] }, { time: at * day });
    const site = await emptySite();
    const storage = new FaultyStorage(storageOn(site, "replica"));
    storage.script({
      operation: "put",
      fault: { kind: "fail", code: "storage_full" },
      name: /points/,
      nth: 2,
      times: 9,
    });
    const report = await replicateTo(primary, storage);
    expect(report).toMatchObject({ ended: { code: "storage_full" }, failed: [] });
    expect(report.replicated).toHaveLength(1);
    expect(report.backlog?.lacking).toHaveLength(2);
    expect((await readAll(site)).size).toBe(1);
  });

  it("ends the run before anything is written when it can't be listed", async () => {
    const primary = await open(await primarySite());
    await take(primary, base, { time: day });
    const site = await emptySite();
    const storage = new FaultyStorage(storageOn(site, "replica"));
    storage.script({
      operation: "list",
      fault: { kind: "fail", code: "storage_unreachable" },
      name: /points/,
      times: 9,
    });
    const report = await replicateTo(primary, storage);
    expect(report).toMatchObject({ ended: { code: "storage_unreachable" }, backlog: undefined, bytesSent: 0 });
  });

  it.each([
    ["points", "points/"],
    ["index objects", "index/"],
    ["packs", "packs/"],
    ["keys", "keys/"],
    ["everything", ""],
  ])("gets whole points though its store lists %s as before the last one came", async (_, prefix) => {
    const primary = await open(await primarySite());
    await take(primary, base, { time: day });
    const site = await emptySite();
    const storage = new FaultyStorage(storageOn(site, "replica"));
    await replicateTo(primary, storage);
    const then = new Set((await collect(storage.list(""))).map(({ name }) => name));
    await take(primary, changed, { time: 2 * day });
    await replicateTo(primary, storage);
    const last = await take(primary, { ...changed, files: { other: 9 } }, { time: 3 * day });
    const mislist = (now: ObjectInfo[]): ObjectInfo[] => now.filter(({ name }) => then.has(name));
    storage.script({
      operation: "list",
      name: new RegExp(`^${prefix}`),
      fault: { kind: "mislist", mislist },
      times: 99,
    });
    expect(await replicateTo(primary, storage)).toMatchObject({ ended: undefined, failed: [] });
    const replica = await open(site, "replica");
    expect(
      (await checkRepository(replica, { executor: inlineExecutor, readData: { group: 1, of: 1 } })).findings,
    ).toEqual([]);
    const store = await BlobStore.load(replica);
    expect(await contentOf(store, last)).toEqual(expected({ ...changed, files: { other: 9 } }));
  });

  it("gets a point whole although packs that it could share were lost", async () => {
    const primary = await open(await primarySite());
    await take(primary, base, { time: day });
    const site = await emptySite();
    const storage = storageOn(site, "replica");
    await replicateTo(primary, storage);
    for (const name of site.contents().keys()) {
      if (name.includes("/packs/")) await storage.delete(name.replace("/site/", ""));
    }
    const next = await take(primary, changed, { time: 2 * day });
    const report = await replicateTo(primary, storage);
    expect(report.replicated.map(({ id }) => id)).toEqual([next.id]);
    const store = await BlobStore.load(await open(site, "replica"));
    expect(await contentOf(store, next)).toEqual(expected(changed));
  });

  it("doesn't delay another", async () => {
    const primary = await open(await primarySite());
    await take(primary, base, { time: day });
    const clock = new ManualClock();
    const stuck = new FaultyStorage(storageOn(await emptySite(), "stuck"), clock);
    stuck.script({ operation: "put", fault: { kind: "slow", ms: day }, name: /packs/, times: 9 });
    const cancel = new AbortController();
    const waiting = replicateTo(primary, stuck, { signal: cancel.signal });
    const site = await emptySite();
    expect((await replicateTo(primary, storageOn(site, "quick"))).replicated).toHaveLength(1);
    cancel.abort();
    expect((await waiting).ended).toMatchObject({ code: "cancelled" });
  });

  it("has lost its root: an error, and nothing is made in its place", async () => {
    const primary = await open(await primarySite());
    await take(primary, base, { time: day });
    const site = await emptySite();
    const replica = await prepareReplica({ primary, storage: storageOn(site, "replica"), create: true });
    site.fault = () => "ENOENT";
    const error = await rejection(prepareReplica({ primary, storage: storageOn(site, "replica"), create: false }));
    expect(error).toMatchObject({ code: "storage_unreachable" });
    const store = await BlobStore.load(primary);
    const report = await replicate({
      primary: store,
      points: await pointsOf(primary),
      replica,
      wanted: () => () => true,
      grace: day,
    });
    expect(report.ended).toMatchObject({ code: "storage_unreachable" });
  });
});

describe("two runs at once", () => {
  it("leave a whole replica", async () => {
    const primary = await open(await primarySite());
    for (let at = 1; at <= 3; at++) await take(primary, { ...base, stream: [at] }, { time: at * day });
    const site = await emptySite();
    const reports = await Promise.all([1, 2].map(async () => await replicateTo(primary, storageOn(site, "replica"))));
    for (const report of reports)
      expect(report).toMatchObject({ ended: undefined, failed: [], backlog: { lacking: [] } });
    expect((await readAll(site)).size).toBe(3);
    const third = await replicateTo(primary, storageOn(site, "replica"));
    expect(third.bytesSent).toBe(0);
    expect(Math.max(...(await copiesOf(site)).values())).toBeLessThanOrEqual(2);
  });
});
