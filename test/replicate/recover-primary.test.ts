import { beforeEach, describe, expect, it } from "vitest";
import { StillpointError } from "../../src/errors.ts";
import { prepareReplica } from "../../src/replicate/prepare-replica.ts";
import {
  missingPoints,
  recoverMissing,
  recoverPrimary,
  type RecoverReport,
  surveyPlace,
} from "../../src/replicate/recover-primary.ts";
import { replicate } from "../../src/replicate/replicate.ts";
import { BlobStore } from "../../src/repository/blobs/blob-store.ts";
import { checkRepository } from "../../src/repository/check/check.ts";
import { packName } from "../../src/repository/blobs/pack.ts";
import { forgetPoint, loadCatalog } from "../../src/repository/points/catalog.ts";
import { keepConfig, newestConfig } from "../../src/repository/points/kept-configs.ts";
import type { RecoveryPoint } from "../../src/repository/points/manifest.ts";
import { putSmallObject } from "../../src/repository/points/small-objects.ts";
import type { Repository } from "../../src/repository/repository.ts";
import { sweep } from "../../src/repository/sweep/sweep.ts";
import { inlineExecutor } from "../../src/repository/threads/executor.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { FaultyStorage } from "../helpers/faulty-storage.ts";
import { day, makeLockedSite } from "../helpers/locked-site.ts";
import { rejection } from "../helpers/rejection.ts";
import {
  captureTiny,
  expectedContents,
  makeReplicaOf,
  makeTestRepository,
  namesOf,
  overriding,
  readTiny,
  type TestRepository,
} from "../helpers/repository.ts";
import { emptySite, open, primarySite, storageOn } from "./sites.ts";

const contents = [1, 2, 3, 4, 5].map((seed) => ({ image: [seed, 0, 10], files: { a: [seed, 20] } }));
const addition = { image: [60], files: { b: [61] } };
let lost: TestRepository;
let replica: Repository;
let points: RecoveryPoint[];
let place: Storage;

/** A primary whose second point was forgotten before its replica was made, and the fourth at the replica, which has the others. */
beforeEach(async () => {
  lost = await makeTestRepository();
  points = [];
  for (const content of contents) {
    lost.clock.pass(1000);
    const previous = points.at(-1);
    points.push(await captureTiny(lost.repository, content, previous === undefined ? {} : { previous }));
  }
  await forget(lost.repository, 1);
  replica = (await makeReplicaOf(lost)).repository;
  const { id = "" } = points[0] ?? {};
  const time = new Date(lost.clock.now()).toISOString();
  await putSmallObject(lost.repository, "holds", { version: 1, point: id, time, reason: "audit" });
  await putSmallObject(lost.repository, "tags", { version: 1, point: id, time, tags: ["a"] });
  await replicate({ ...(await view(lost.repository)), replica, wanted: () => () => true, grace: 1e9 });
  await forget(replica, 3);
  await keepConfig(replica, { host: "web1", path: "/etc/stillpoint.yaml", text: "version: 1" });
  place = storageOn(await emptySite(), "new primary");
});

async function forget(repository: Repository, number: number): Promise<void> {
  const point = (await loadCatalog(repository)).points.find(({ id }) => id === points[number]?.id);
  if (point !== undefined) await forgetPoint(repository, point, "test");
}

async function view(repository: Repository) {
  return { points: (await loadCatalog(repository)).points, primary: await BlobStore.load(repository) };
}

async function recover(storage: Storage = place, from: Repository = replica): Promise<RecoverReport> {
  return await recoverPrimary({ replica: from, catalog: await loadCatalog(from), storage });
}

/** A read of a pack. */
interface Reading {
  readonly name: string;
  /** How many there were, with this one. */
  readonly count: number;
  /** How often the packs were listed before it. */
  readonly looks: number;
}

/** The repository; `before` is told of each read of a pack before it is made. */
function watched(repository: Repository, before: (reading: Reading) => Promise<void> | void): Repository {
  const { storage } = repository;
  let count = 0;
  let looks = 0;
  const get: Storage["get"] = async (name, ...call) => {
    if (name.startsWith("packs/")) await before({ name, count: (count += 1), looks });
    return await storage.get(name, ...call);
  };
  const list: Storage["list"] = (prefix, ...call) => {
    if (prefix === "packs/") looks += 1;
    return storage.list(prefix, ...call);
  };
  return { ...repository, memory: undefined, storage: overriding(storage, { get, list }) };
}

/** A sixth point, at those copies too. */
async function addPoint(copies: readonly Repository[]): Promise<RecoveryPoint> {
  lost.clock.pass(1000);
  const added = await captureTiny(lost.repository, addition, { previous: points[4] as RecoveryPoint });
  points.push(added);
  for (const copy of copies)
    await replicate({ ...(await view(lost.repository)), replica: copy, wanted: () => () => true, grace: 1e9 });
  return added;
}

async function findingsAtPlace(): Promise<readonly unknown[]> {
  return (await checkRepository({ ...replica, storage: place }, { executor: inlineExecutor })).findings;
}

async function expectRecovered(numbers: readonly number[]): Promise<void> {
  const primary: Repository = { ...lost.repository, storage: place };
  const catalog = await loadCatalog(primary);
  expect(catalog.points.map(({ digest }) => digest)).toEqual(numbers.map((number) => points[number]?.digest));
  for (const [at, number] of numbers.entries()) {
    const expected = expectedContents(contents[number] ?? addition);
    expect(await readTiny(primary, catalog.points[at] as RecoveryPoint)).toEqual(expected);
  }
}

describe("recoverPrimary", () => {
  it("makes a primary with points, chain, holds, tags, keys and configuration, in which a check finds nothing wrong", async () => {
    expect(await surveyPlace(replica, place, {})).toBe("empty");
    expect(await recover()).toMatchObject({ failed: [], failedNotes: [], unknown: [points[1]?.id] });
    expect(await surveyPlace(replica, place, {})).toBe("there");
    await expectRecovered([0, 2, 4]);
    const primary: Repository = { ...lost.repository, storage: place };
    const [first] = (await loadCatalog(primary)).points;
    expect(first).toMatchObject({ tags: ["a"], hold: { reason: "audit" } });
    expect(await newestConfig(primary)).toMatchObject({ host: "web1", text: "version: 1" });
    expect(await namesOf(place, "keys/")).toEqual(await namesOf(replica.storage, "keys/"));
    expect(await place.get("format")).toEqual(await replica.storage.get("format"));
    const { findings } = await checkRepository(primary, { executor: inlineExecutor });
    expect(findings).toEqual([]);
  });

  it("is the primary of its replica from then on: nothing is sent a second time", async () => {
    await recover();
    const primary: Repository = { ...lost.repository, storage: place };
    const again = await prepareReplica({ primary, storage: replica.storage, create: false });
    const options = { replica: again, wanted: () => () => true, grace: 1e9 };
    expect(await replicate({ ...(await view(primary)), ...options })).toMatchObject({ replicated: [], bytesSent: 0 });
    const previous = (await loadCatalog(primary)).points.at(-1);
    if (previous === undefined) throw new Error("a point is missing");
    await captureTiny(primary, { image: [50, 0, 10] }, { previous });
    const report = await replicate({ ...(await view(primary)), ...options });
    expect(report.replicated).toHaveLength(1);
    expect((await checkRepository(primary, { executor: inlineExecutor })).findings).toEqual([]);
  });

  it("is no repository until it is whole, and goes on where it was cut off", async () => {
    const whole = new FaultyStorage(storageOn(await emptySite(), "whole"));
    await recover(whole);
    const puts = whole.calls.filter((call) => call.startsWith("put ")).length;
    for (let cut = 1; cut <= puts; cut++) {
      const site = await emptySite();
      place = storageOn(site, "new primary");
      const faulty = new FaultyStorage(place);
      faulty.script({ operation: "put", nth: cut, fault: { kind: "fail", code: "storage_full" } });
      expect(await rejection(recover(faulty))).toMatchObject({ code: "storage_full" });
      expect(await rejection(open(site))).toMatchObject({ code: "repository_missing" });
      expect(await surveyPlace(replica, place, {})).toBe(cut === 1 ? "empty" : "unfinished");
      const before = await namesOf(place, "packs/");
      await recover();
      await expectRecovered([0, 2, 4]);
      for (const pack of before) expect(await namesOf(place, pack)).toEqual([pack]);
    }
    expect(puts).toBeGreaterThan(8);
  });

  it("recovers the rest of a damaged replica, and leaves the gap to a repair from another one", async () => {
    const store = await BlobStore.load(replica);
    const other = (await makeReplicaOf(lost)).repository;
    await replicate({ ...(await view(lost.repository)), replica: other, wanted: () => () => true, grace: 1e9 });
    const newest = points[4] as RecoveryPoint;
    await replica.storage.put(newest.name, [Buffer.from("nonsense")]);
    lost.clock.pass(1000);
    await captureTiny(replica, { image: [6] }, { previous: newest, store });
    expect((await recover()).unknown).toEqual([points[1]?.id]);
    const primary: Repository = { ...lost.repository, storage: place };
    const { findings } = await checkRepository(primary, { executor: inlineExecutor });
    expect(findings).toMatchObject([{ kind: "chain", missing: newest.id }]);
  });

  it("reports a point that the replica has lost a part of, and recovers the others", async () => {
    const first = points[0] as RecoveryPoint;
    const own = await BlobStore.load(replica);
    lost.clock.pass(1000);
    const extra = await captureTiny(replica, { image: [77] }, { store: own });
    for (const name of await namesOf(replica.storage, "packs/")) {
      const { points: all } = await loadCatalog(replica);
      if (all.length === 0 || own.present.has(name.slice(-64))) continue;
      await replica.storage.delete(packName(name.slice(-64)));
    }
    const report = await recover();
    expect(report.failed.map(({ point }) => point.id)).toEqual([extra.id]);
    expect(report.replicated.map(({ id }) => id)).toContain(first.id);
    expect(await surveyPlace(replica, place, {})).toBe("there");
  });
});

describe("recoverPrimary, from a replica that changes or can't be reached meanwhile,", () => {
  it("has every point, although the packs that it was to read were joined, and then deleted", async () => {
    const site = await makeLockedSite();
    let previous: RecoveryPoint | undefined;
    for (let seed = 1; seed <= 10; seed++) {
      const content = { image: [seed, seed + 50, seed + 100] };
      previous = await captureTiny(site.primary, content, previous === undefined ? {} : { previous });
      await site.send("unlocked");
      site.clock.pass(day);
    }
    let deleted = 0;
    const swept = watched(site.replica, async ({ count }) => {
      if (count !== 9) return;
      for (let visit = 1; visit <= 2; visit++) {
        site.clock.pass(day + 3_600_000);
        deleted += (await sweep(site.replica, { grace: day, executor: inlineExecutor })).deleted.packs;
      }
    });
    const report = await recover(place, swept);
    expect(deleted).toBeGreaterThan(10);
    expect(report).toMatchObject({ failed: [], unknown: [] });
    expect(report.replicated).toHaveLength(10);
  });

  it("has a point of many packs, although some of them are moved each time", async () => {
    const image: number[] = [];
    let previous = points[4] as RecoveryPoint;
    for (let seed = 21; seed <= 26; seed++) {
      lost.clock.pass(1000);
      previous = await captureTiny(lost.repository, { image: [...image, seed] }, { previous, source: "huge" });
      image.push(seed);
    }
    // Each time that the packs are listed one more of them can be read.
    const read = new Set<string>();
    const moving = watched(lost.repository, ({ name, looks }) => {
      if (read.has(name) || read.size < looks) read.add(name);
      else throw new StillpointError("object_missing", { what: `Cannot find ${name}` });
    });
    const { points: all, ...catalog } = await loadCatalog(lost.repository);
    const huge = { ...catalog, points: all.filter(({ id }) => id === previous.id) };
    const report = await recoverPrimary({ replica: moving, catalog: huge, storage: place });
    expect(report).toMatchObject({ failed: [], replicated: [{ id: previous.id }] });
    expect(read.size).toBeGreaterThan(3);
  });

  it("takes what is forgotten there meanwhile for forgotten", async () => {
    await addPoint([replica]);
    const pruned = watched(replica, async ({ count }) => {
      if (count === 1) await forget(replica, 4);
    });
    expect(await recover(place, pruned)).toMatchObject({ failed: [], unknown: [points[1]?.id] });
    await expectRecovered([0, 2, 5]);
    expect(await findingsAtPlace()).toEqual([]);
  });

  it("has every point after an outage, whenever that begins", async () => {
    for (let from = 1; from <= (await readsOfRecovery()); from++) {
      const outage = watched(replica, ({ count, looks }) => (count >= from && looks === 1 ? unreachable() : undefined));
      expect(await recover(place, outage)).toMatchObject({ failed: [] });
      await expectRecovered([0, 2, 4]);
    }
  });

  it("makes no repository of it while the outage lasts, and goes on afterwards", async () => {
    const outcomes: unknown[] = [];
    const states: string[] = [];
    for (let from = 1; from <= (await readsOfRecovery()); from++) {
      const outage = watched(replica, ({ count }) => (count >= from ? unreachable() : undefined));
      outcomes.push(
        await recover(place, outage).then(
          ({ failed }) => failed,
          (error: unknown) => (error as StillpointError).code,
        ),
      );
      const state = await surveyPlace(replica, place, {});
      states.push(state);
      if (state === "unfinished") await recover();
      await expectRecovered([0, 2, 4]);
    }
    expect(states).toContain("unfinished");
    expect(outcomes).toEqual(states.map((state) => (state === "there" ? [] : "storage_unreachable")));
  });

  /** How many packs a recovery reads; another, empty place after that. */
  async function readsOfRecovery(): Promise<number> {
    let reads = 0;
    place = storageOn(await emptySite(), "new primary");
    await recover(
      place,
      watched(replica, ({ count }) => void (reads = count)),
    );
    place = storageOn(await emptySite(), "new primary");
    return reads;
  }

  function unreachable(): never {
    throw new StillpointError("storage_unreachable", { what: "Cannot reach the replica" });
  }
});

describe("recoverMissing", () => {
  it("adds from another copy what the first had damaged, of which no later point knows", async () => {
    const other = (await makeReplicaOf(lost)).repository;
    const before = await namesOf(replica.storage, "packs/");
    const newest = await addPoint([replica, other]);
    for (const name of await namesOf(replica.storage, "packs/"))
      if (!before.includes(name)) await replica.storage.delete(name);
    expect((await recover()).failed.map(({ point }) => point.id)).toEqual([newest.id]);
    await expectRecovered([0, 2, 4]);
    expect(await findingsAtPlace()).toEqual([]);

    // The fourth point is at the other copy, too; the first one had forgotten it.
    const options = { replica: other, catalog: await loadCatalog(other), storage: place, grace: day };
    expect((await missingPoints(options)).map(({ id }) => id)).toEqual([newest.id]);
    expect(await recoverMissing(options)).toMatchObject({ failed: [], unknown: [], replicated: [{ id: newest.id }] });
    await expectRecovered([0, 2, 4, 5]);
    expect(await missingPoints(options)).toEqual([]);
    expect(await findingsAtPlace()).toEqual([]);
  });
});

describe("surveyPlace", () => {
  it("refuses another repository, and anything whose keys aren't the replica's", async () => {
    const other = storageOn(await primarySite(), "other");
    expect(await rejection(surveyPlace(replica, other, {}))).toMatchObject({
      code: "repository_exists",
      message: expect.stringContaining("another repository"),
    });
    const keys = await namesOf(other, "keys/");
    await other.delete("format");
    expect(await rejection(surveyPlace(replica, other, {}))).toMatchObject({ code: "repository_exists" });
    expect(await namesOf(other)).toEqual(keys);
    const [name = ""] = await namesOf(replica.storage, "keys/");
    await place.put(name, [Buffer.from("another")]);
    expect(await rejection(surveyPlace(replica, place, {}))).toMatchObject({ code: "repository_exists" });
    await place.delete(name);
    await place.put("notes", [Buffer.from("mine")]);
    expect(await rejection(surveyPlace(replica, place, {}))).toMatchObject({
      message: expect.stringContaining("it holds notes and no object `format`"),
    });
  });
});
