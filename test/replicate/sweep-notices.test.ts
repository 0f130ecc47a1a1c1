import { describe, expect, it } from "vitest";
import { type Clock, systemClock } from "../../src/host/clock.ts";
import { BlobStore } from "../../src/repository/blobs/blob-store.ts";
import { forgetPoint } from "../../src/repository/points/catalog.ts";
import { putSmallObject, type SweepRecord } from "../../src/repository/points/small-objects.ts";
import { sweepNotices, type SweepNotices } from "../../src/replicate/sweep-notices.ts";
import type { Repository } from "../../src/repository/repository.ts";
import { ManualClock } from "../helpers/manual-clock.ts";
import { FaultyStorage } from "../helpers/faulty-storage.ts";
import type { Storage } from "../../src/storage/storage.ts";
import type { SimulatedDisk } from "../helpers/simulated-disk.ts";
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
  replicateTo,
  storageOn,
  take,
} from "./sites.ts";

const hour = 3_600_000;
const earlier: Content = { image: [1, 2, 3], stream: [4, 5], files: { a: 6 } };
const after: Content = { image: [1, 2, 7], stream: [4, 5], files: { a: 6 } };

async function notice(repository: Repository, record: Partial<SweepRecord>): Promise<void> {
  const time = "2026-01-01T00:00:00.000Z";
  const nothing: SweepRecord = { version: 1, time, grace: day, points: [], condemned: [], orphans: [] };
  await putSmallObject(repository, "sweeps", { ...nothing, ...record });
}

/** A storage in front of which the time passes. */
function passing(inner: Storage, before: (call: string) => void): Storage {
  return {
    location: inner.location,
    put: async (name, ...rest) => {
      before(`put ${name}`);
      await inner.put(name, ...rest);
    },
    get: async (...call) => await inner.get(...call),
    stat: async (...call) => await inner.stat(...call),
    delete: async (...call) => await inner.delete(...call),
    list: (prefix, ...rest) => {
      before(`list ${prefix}`);
      return inner.list(prefix, ...rest);
    },
  };
}

interface Scene {
  readonly primary: Repository;
  readonly site: SimulatedDisk;
  readonly replica: Repository;
  readonly base: string;
}

/** A replica with one point. */
async function scene(): Promise<Scene> {
  const primary = await open(await primarySite());
  const base = (await take(primary, earlier, { time: day })).id;
  const site = await emptySite();
  await replicateTo(primary, storageOn(site, "replica"));
  return { primary, site, replica: await open(site, "replica"), base };
}

describe("after a sweep at the replica has condemned packs", () => {
  it("a new point rests on none of them, although an earlier one has its blobs", async () => {
    const { primary, site, replica, base } = await scene();
    const packs = [...(await BlobStore.load(replica)).present.keys()];
    await notice(replica, { condemned: packs });
    const next = await take(primary, after, { time: 2 * day });
    await replicateTo(primary, storageOn(site, "replica"));
    // The second visit of that sweep, once the earlier point is forgotten.
    for (const point of await pointsOf(replica)) if (point.id === base) await forgetPoint(replica, point, "test");
    for (const id of packs) await replica.storage.delete(`packs/${id.slice(0, 2)}/${id}`);
    expect(await contentOf(await BlobStore.load(replica), next)).toEqual(expected(after));
  });

  it("a point that the sweep saw is vouched for, one that came later isn't", async () => {
    const { replica, base } = await scene();
    const notices = async (): Promise<SweepNotices> => sweepNotices(await BlobStore.load(replica));
    expect((await notices()).vouchFor(base)).toBe(true);
    const [pack = ""] = (await BlobStore.load(replica)).present.keys();
    await notice(replica, { points: [base], condemned: [pack] });
    expect((await notices()).vouchFor(base)).toBe(true);
    expect((await notices()).vouchFor("0".repeat(32))).toBe(false);
    await notice(replica, { points: [], condemned: ["f".repeat(64)] });
    expect((await notices()).vouchFor(base)).toBe(true);
    await notice(replica, { points: [], condemned: [pack] });
    expect((await notices()).vouchFor(base)).toBe(false);
  });

  it("none is vouched for when a pack is lost", async () => {
    const { replica, base } = await scene();
    const [pack = ""] = (await BlobStore.load(replica)).present.keys();
    await replica.storage.delete(`packs/${pack.slice(0, 2)}/${pack}`);
    expect(sweepNotices(await BlobStore.load(replica)).vouchFor(base)).toBe(false);
  });
});

describe("packs in no index", () => {
  /** As an interrupted run leaves them. */
  async function withoutIndex({ replica, base }: Scene): Promise<string[]> {
    const store = await BlobStore.load(replica);
    for (const { name } of store.indexes) await replica.storage.delete(name);
    for (const { id, name } of await pointsOf(replica)) if (id === base) await replica.storage.delete(name);
    return [...store.present.keys()];
  }

  it("are used again", async () => {
    const start = await scene();
    const packs = await withoutIndex(start);
    const report = await replicateTo(start.primary, storageOn(start.site, "replica"));
    expect(report).toMatchObject({ adoptedPacks: packs.length, blobs: 0, replicated: [{ id: start.base }] });
    expect(new Set((await copiesOf(start.site)).values())).toEqual(new Set([1]));
  });

  it("are left alone when a sweep may be deleting them", async () => {
    const start = await scene();
    const [orphan = "", ...condemned] = await withoutIndex(start);
    await notice(start.replica, { orphans: [orphan], condemned });
    const report = await replicateTo(start.primary, storageOn(start.site, "replica"));
    expect(report).toMatchObject({ adoptedPacks: 0, replicated: [{ id: start.base }] });
    for (const id of [orphan, ...condemned]) await start.replica.storage.delete(`packs/${id.slice(0, 2)}/${id}`);
    const store = await BlobStore.load(start.replica);
    for (const point of await pointsOf(start.replica)) expect(await contentOf(store, point)).toEqual(expected(earlier));
  });

  it("are left alone when they are no packs", async () => {
    const start = await scene();
    const name = `packs/ff/${"f".repeat(64)}`;
    await start.replica.storage.put(name, [Buffer.alloc(1000)]);
    await take(start.primary, after, { time: 2 * day });
    const report = await replicateTo(start.primary, storageOn(start.site, "replica"));
    expect(report).toMatchObject({ adoptedPacks: 0, ended: undefined, backlog: { lacking: [] } });
  });
});

describe("a run that takes longer than a sweep would wait", () => {
  // One clock stands still while the machine sleeps, the other may be set back.
  it.each(["now", "monotonic"] as const)(
    "looks again at what it relies on before it commits, by %s alone",
    async (which) => {
      const { primary, site } = await scene();
      await take(primary, after, { time: 2 * day });
      const times = { now: Date.UTC(2026, 0, 1), monotonic: 0 };
      const clock: Clock = { ...systemClock, now: () => times.now, monotonic: () => times.monotonic };
      const storage = new FaultyStorage(storageOn(site, "replica"));
      const slow = passing(storage, (call) => {
        if (call.startsWith("put packs/")) times[which] += 23 * hour;
      });
      const report = await replicateTo({ ...primary, clock }, slow, { grace: day });
      expect(report).toMatchObject({ ended: undefined, backlog: { lacking: [] } });
      const indexLoads = storage.calls.flatMap((call, at) => (call === "list index/" ? [at] : []));
      expect(indexLoads).toHaveLength(2);
      const manifests = storage.calls.flatMap((call, at) => (call.startsWith("put points/") ? [at] : []));
      expect(manifests).toHaveLength(1);
      expect(manifests[0]).toBeGreaterThan(indexLoads[1] ?? 0);
      expect(new Set((await copiesOf(site)).values())).toEqual(new Set([1]));
    },
  );

  it("gives up when it never gets there in time, and commits nothing", async () => {
    const { primary, site } = await scene();
    await take(primary, after, { time: 2 * day });
    const clock = new ManualClock();
    const slow = passing(storageOn(site, "replica"), (call) => {
      if (call.startsWith("list packs/")) clock.setNow(clock.now() + 23 * hour);
    });
    const report = await replicateTo({ ...primary, clock }, slow, { grace: day });
    expect(report).toMatchObject({ ended: { code: "capture_too_old" }, replicated: [] });
    expect(report.backlog?.lacking).toHaveLength(1);
  });
});
