/** What a sweep or a repair writes at a locked replica is locked, and pinned, before what it replaces may go. */
import { expect, test } from "vitest";
import { BlobStore } from "../../../src/repository/blobs/blob-store.ts";
import { packName } from "../../../src/repository/blobs/pack.ts";
import { checkRepository } from "../../../src/repository/check/check.ts";
import type { Finding } from "../../../src/repository/check/findings.ts";
import type { ReadData } from "../../../src/repository/check/packs.ts";
import { sealLockRecord } from "../../../src/repository/locks/lock-record.ts";
import { readPins } from "../../../src/repository/locks/pins.ts";
import { writeLocked } from "../../../src/repository/locks/write-locked.ts";
import type { RecoveryPoint } from "../../../src/repository/points/manifest.ts";
import { repairRepository, type RepairReport } from "../../../src/repository/repair/repair.ts";
import { type SweepLimits, usualLimits } from "../../../src/repository/sweep/plan.ts";
import { sweep } from "../../../src/repository/sweep/sweep.ts";
import { inlineExecutor as executor } from "../../../src/repository/threads/executor.ts";
import { day, type LockedSite, makeLockedSite } from "../../helpers/locked-site.ts";
import { captureTiny, expectedContents, flipByte, readTiny } from "../../helpers/repository.ts";

interface Site extends LockedSite {
  /** Not locked. */
  readonly loose: RecoveryPoint;
  readonly held: RecoveryPoint;
  readonly until: number;
}

const contents = { loose: { image: [1, 2, 3] }, held: { image: [4, 5, 6] } };

async function makeSite(): Promise<Site> {
  const site = await makeLockedSite();
  const loose = await captureTiny(site.primary, contents.loose);
  await site.send("unlocked");
  site.clock.pass(2 * day);
  const held = await captureTiny(site.primary, contents.held, { source: "other" });
  await site.send({ keeps: () => new Set() });
  site.clock.pass(3_600_000);
  return { ...site, loose, held, until: site.storage.until(held.name) ?? 0 };
}

/** What the work put, in order, the lease left out; and of that what isn't locked for as long as `held`, or that no record names. */
async function putBy(site: Site, work: () => Promise<unknown>): Promise<{ names: string[]; loose: string[] }> {
  const { storage, replica, until } = site;
  const before = new Set(storage.versions.keys());
  await work();
  const names = [...storage.versions.keys()].filter((name) => !before.has(name) && name !== "lease");
  if (storage.locks === undefined) throw new Error("no locks");
  const { objects } = await readPins(replica, storage.locks, {});
  const pinned = (name: string): boolean => objects.get(name)?.until === until && storage.until(name) === until;
  return { names, loose: names.filter((name) => !pinned(name)) };
}

function foldersOf(names: readonly string[]): string[] {
  return names.map((name) => name.split("/")[0] ?? "");
}

/** Sweep records, which aren't locked. */
function recordsIn(names: readonly string[]): string[] {
  return names.filter((name) => name.startsWith("sweeps/"));
}

async function visit({ replica }: Site, limits: Partial<SweepLimits>): Promise<unknown> {
  return await sweep(replica, { grace: day, executor, limits: { ...usualLimits, ...limits } });
}

test("packs that a sweep rewrites: on record before the old ones are condemned", async () => {
  const site = await makeSite();
  const put = await putBy(site, async () => await visit(site, { share: 2, smallPack: 0 }));
  expect(foldersOf(put.names)).toEqual(["sweeps", "packs", "packs", "index", "locks", "sweeps"]);
  expect(put.loose).toEqual(recordsIn(put.names));
  expect(await readTiny(site.replica, site.loose)).toEqual(expectedContents(contents.loose));
});

test("packs that a sweep has condemned aren't locked when their points are: it has put their content elsewhere", async () => {
  const site = await makeSite();
  const loosePacks = [...site.storage.versions.keys()].filter(
    (name) => name.startsWith("packs/") && site.storage.until(name) === undefined,
  );
  expect(loosePacks).toHaveLength(2);
  await visit(site, { share: 2, smallPack: 0 });
  expect(await site.send()).toMatchObject({ unlocked: [], unlockedPoints: 0 });
  expect(site.storage.until(site.loose.name)).toBe(site.until);
  expect(loosePacks.map((name) => site.storage.until(name))).toEqual([undefined, undefined]);
});

test("an index that a sweep replaces: the new one is on record before the old one goes", async () => {
  const site = await makeSite();
  const { names: old } = await putBy(site, async () => await captureTiny(site.replica, { image: [7, 8] }));
  const put = await putBy(site, async () => await visit(site, { smallIndexes: 1 }));
  expect(foldersOf(put.names)).toEqual(["index", "locks", "sweeps"]);
  expect(put.loose).toEqual(recordsIn(put.names));
  const marker = site.storage.versions.get(old.find((name) => name.startsWith("index/")) ?? "")?.at(-1);
  const record = site.storage.versions.get(put.names[1] ?? "")?.at(-1);
  expect(marker?.data).toBeUndefined();
  expect(Number(marker?.id.slice(1))).toBeGreaterThan(Number(record?.id.slice(1)));
});

async function repair({ primary, replica }: Site): Promise<RepairReport> {
  return await repairRepository(replica, { executor, replicas: [primary], replica: true });
}

const everything: ReadData = { group: 1, of: 1 };

async function findings({ replica }: Site, readData = everything): Promise<Finding[]> {
  const report = await checkRepository(replica, { executor, readData, replica: true });
  return [...report.findings];
}

/** Damages the bytes of every version of the packs that only `held` needs, as a store does that loses bits. */
function rotPacks({ storage, until }: Site): string[] {
  const packs = [...storage.versions.keys()].filter(
    (name) => name.startsWith("packs/") && storage.until(name) === until,
  );
  for (const name of packs) rotPack({ storage }, name);
  return packs;
}

function rotPack({ storage }: Pick<Site, "storage">, name: string, at = 60): void {
  for (const { data } of storage.versions.get(name) ?? []) if (data) flipByte(at)(data);
}

test("what a repair brings back; the locked index stays, and the damaged pack, of which nothing is lost, is no finding", async () => {
  const site = await makeSite();
  const rotten = rotPacks(site);
  expect(rotten).toHaveLength(2);
  expect(await findings(site)).toMatchObject([{ kind: "pack", affected: [{ point: site.held.id }] }]);
  const put = await putBy(site, async () => expect((await repair(site)).lost).toEqual([]));
  expect(foldersOf(put.names)).toEqual(["packs", "packs", "index", "locks"]);
  expect(put.loose).toEqual([]);
  expect(await readTiny(site.replica, site.held)).toEqual(expectedContents(contents.held));
  expect(await findings(site)).toEqual([]);
  const again = await putBy(site, async () => expect(await repair(site)).toMatchObject({ dropped: [], fetched: 0 }));
  expect(again.names).toEqual([]);
});

test("a copy that a repair has made, damaged too, is a finding whichever of both is read", async () => {
  const site = await makeSite();
  const rotten = rotPacks(site);
  const put = await putBy(site, async () => await repair(site));
  const { packs } = await BlobStore.load(site.replica);
  const data = [...packs.all()].map(([, pack]) => pack).filter((pack) => pack.class === "data");
  const copies = data.filter(({ id }) => put.names.includes(packName(id)));
  expect(copies).toHaveLength(1);
  // All blobs of it: the table and what follows stay.
  for (const { id, size, tableLength } of copies)
    for (let at = 60; at < size - tableLength - 64; at += 16) rotPack(site, packName(id), at);
  for (const { id } of data.filter((pack) => copies.includes(pack) || rotten.includes(packName(pack.id)))) {
    // Of so many groups each pack has its own.
    const group = Number.parseInt(id.slice(0, 8), 16) + 1;
    expect(await findings(site, { group, of: 2 ** 32 })).toMatchObject([
      { kind: "pack", object: packName(id), affected: [{ point: site.held.id }] },
    ]);
  }
});

test("a forged record doesn't make anybody lock for longer than the store holds what is there", async () => {
  const site = await makeSite();
  const until = site.clock.now() + 1000 * day;
  const version = site.storage.versions.get(site.held.name)?.[0]?.id ?? "";
  const objects = new Map([[site.held.name, version]]);
  const { name, data } = sealLockRecord(site.replica.keys, { time: site.clock.now(), until, points: [], objects });
  await site.storage.locks?.put(name, [data], until);
  const put = await putBy(site, async () => await visit(site, { share: 2, smallPack: 0 }));
  expect(put.loose).toEqual(recordsIn(put.names));
});

test("of several locked points, the one that is locked longest says for how long", async () => {
  const site = await makeSite();
  site.clock.pass(6 * day);
  const later = await captureTiny(site.primary, { image: [9] }, { source: "third" });
  await site.send({ keeps: () => new Set() });
  const until = site.storage.until(later.name) ?? 0;
  expect(until).toBeGreaterThan(site.until);
  const put = await putBy({ ...site, until }, async () => await visit(site, { share: 2, smallPack: 0 }));
  expect(put.loose).toEqual(recordsIn(put.names));
});

test("a lock that somebody made longer at the store doesn't make anybody else's longer", async () => {
  const site = await makeSite();
  const version = site.storage.versions.get(site.held.name)?.[0]?.id ?? "";
  await site.storage.locks?.extend(site.held.name, version, site.until + 1000 * day);
  const put = await putBy(site, async () => await visit(site, { share: 2, smallPack: 0 }));
  expect(put.loose).toEqual(recordsIn(put.names));
});

test("threads, which would lock nothing, aren't told where the storage is", async () => {
  const site = await makeSite();
  const repository = { ...site.replica, address: { kind: "fs", location: "vault", path: "/vault" } as const };
  if (site.storage.locks === undefined) throw new Error("no locks");
  const pins = await readPins(repository, site.storage.locks, {});
  const addresses = [pins, undefined].map(
    async (known) => await writeLocked(repository, { pins: known }, ({ address }) => Promise.resolve(address)),
  );
  expect(await Promise.all(addresses)).toEqual([undefined, repository.address]);
});

test("where no point is locked, nothing is", async () => {
  const site = await makeSite();
  site.clock.pass(site.until - site.clock.now() + 1000);
  const put = await putBy(site, async () => await visit(site, { share: 2, smallPack: 0 }));
  expect(put.names.map((name) => site.storage.until(name))).toEqual(put.names.map(() => undefined));
  expect(foldersOf(put.names)).not.toContain("locks");
});
