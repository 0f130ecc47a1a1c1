/** A locked index object goes on naming packs that a sweep has deleted since: that is no damage, and hides none. */
import { expect, test } from "vitest";
import { checkRepository } from "../../../src/repository/check/check.ts";
import type { Finding } from "../../../src/repository/check/findings.ts";
import { BlobStore } from "../../../src/repository/blobs/blob-store.ts";
import { forgetPoint, loadCatalog } from "../../../src/repository/points/catalog.ts";
import type { RecoveryPoint } from "../../../src/repository/points/manifest.ts";
import { repairRepository } from "../../../src/repository/repair/repair.ts";
import type { Repository } from "../../../src/repository/repository.ts";
import { sweep } from "../../../src/repository/sweep/sweep.ts";
import { inlineExecutor as executor } from "../../../src/repository/threads/executor.ts";
import { day, type LockedSite, makeLockedSite } from "../../helpers/locked-site.ts";
import { captureTiny, expectedContents, makeTestRepository, namesOf, readTiny } from "../../helpers/repository.ts";

const content = { image: [4, 5, 6] };

interface SweptSite extends LockedSite {
  /** Locked. */
  readonly held: RecoveryPoint;
  readonly until: number;
  /** Names of the packs that only `held` needs. */
  readonly packs: readonly string[];
}

async function forget(repository: Repository, { id }: RecoveryPoint): Promise<void> {
  const point = (await loadCatalog(repository)).points.find((one) => one.id === id);
  if (point !== undefined) await forgetPoint(repository, point, "test");
}

async function sweepTwice({ replica, clock }: LockedSite): Promise<void> {
  for (let visit = 0; visit < 2; visit++) {
    await sweep(replica, { grace: day, executor });
    clock.pass(day);
  }
}

/** The rules have given up a point, its locks have ended, and its two packs are swept. */
async function sweptSite(): Promise<SweptSite> {
  const site = await makeLockedSite();
  const old = await captureTiny(site.primary, { image: [1, 2, 3] });
  await site.send();
  const oldPacks = await namesOf(site.storage, "packs/");
  const held = await captureTiny(site.primary, content, { source: "other" });
  await forget(site.primary, old);
  // A quarter of the lock's length each time.
  for (let quarter = 0; quarter < 6; quarter++) {
    await site.send({ keeps: () => new Set([held.id]) });
    site.clock.pass(5 * day);
  }
  await forget(site.replica, old);
  await sweepTwice(site);
  await site.send();
  const packs = await namesOf(site.storage, "packs/");
  expect(packs.filter((name) => oldPacks.includes(name))).toEqual([]);
  expect((await BlobStore.load(site.replica)).lost.size).toBe(oldPacks.length);
  return { ...site, held, packs, until: site.storage.until(held.name) ?? 0 };
}

async function findings(repository: Repository): Promise<readonly Finding[]> {
  const report = await checkRepository(repository, { executor, readData: { group: 1, of: 1 }, replica: true });
  return report.findings;
}

test("what a sweep has deleted is no finding, and nothing to repair", async () => {
  const { primary, replica } = await sweptSite();
  expect(await findings(replica)).toEqual([]);
  const report = await repairRepository(replica, { executor, replicas: [primary], replica: true });
  expect(report).toMatchObject({ objects: [], dropped: [], lost: [], fetched: 0 });
});

test("a pack that a locked point needs, hidden by a thief, is the one finding", async () => {
  const site = await sweptSite();
  for (const name of site.packs) {
    await site.storage.delete(name);
    expect(await findings(site.replica)).toMatchObject([{ kind: "lock", object: name }]);
    await repairRepository(site.replica, { executor, replicas: [], replica: true });
    expect(await findings(site.replica)).toEqual([]);
  }
  expect(await readTiny(site.replica, site.held)).toEqual(expectedContents(content));
});

test("a pack that a locked point needs, of which not even the locked version is there, is told with what it costs", async () => {
  const site = await sweptSite();
  for (const name of site.packs) {
    const versions = site.storage.versions.get(name) ?? [];
    site.storage.versions.delete(name);
    const found = await findings(site.replica);
    expect(found.filter(({ kind }) => kind === "lock")).toMatchObject([{ object: name }]);
    expect(found.filter(({ kind }) => kind !== "lock")).toMatchObject([
      { kind: "pack", object: name, affected: [{ point: site.held.id }] },
    ]);
    site.storage.versions.set(name, versions);
  }
});

test("a pack that a point without a lock needs is told with what it costs", async () => {
  const site = await sweptSite();
  const loose = await captureTiny(site.replica, { image: [7, 8] }, { source: "third" });
  const [pack = ""] = (await namesOf(site.storage, "packs/")).filter((name) => !site.packs.includes(name));
  await site.storage.delete(pack);
  expect(await findings(site.replica)).toMatchObject([{ kind: "pack", object: pack, affected: [{ point: loose.id }] }]);
});

test("when the locks have ended, the next sweep names what is there, and no more", async () => {
  const site = await sweptSite();
  site.clock.pass(site.until - site.clock.now() + day);
  expect(await findings(site.replica)).toEqual([]);
  await sweep(site.replica, { grace: day, executor });
  const store = await BlobStore.load(site.replica);
  expect([store.lost.size, store.present.size, store.orphans]).toEqual([0, site.packs.length, []]);
  expect(await readTiny(site.replica, site.held, store)).toEqual(expectedContents(content));
  expect(await findings(site.replica)).toEqual([]);
});

test("where nothing is locked, a pack that is named and isn't there is a finding that a sweep leaves alone", async () => {
  const { repository, clock } = await makeTestRepository();
  const point = await captureTiny(repository, { image: [1, 2, 3] });
  const [pack = ""] = await namesOf(repository.storage, "packs/");
  await captureTiny(repository, content, { source: "other" });
  await forget(repository, point);
  await repository.storage.delete(pack);
  clock.pass(day);
  await sweep(repository, { grace: day, executor });
  expect(await findings(repository)).toMatchObject([{ kind: "pack", object: pack, affected: [] }]);
});

/** An image of so many nodes, each of blocks of its own. */
function nodes(count: number): { readonly image: readonly number[] } {
  return { image: Array.from({ length: count * 256 }, (_, at) => Math.floor(at / 256) + 10) };
}

test("replication still goes by the difference to a locked point", async () => {
  const site = await sweptSite();
  const before = await namesOf(site.primary.storage, "packs/");
  await captureTiny(site.primary, nodes(1));
  const first = (await namesOf(site.primary.storage, "packs/")).filter((name) => !before.includes(name));
  site.clock.pass(1000);
  await captureTiny(site.primary, nodes(2));
  expect(await site.send()).toMatchObject({ failed: [], unlocked: [] });
  site.clock.pass(1000);
  const point = await captureTiny(site.primary, nodes(3));
  // What both points have isn't read.
  for (const name of first) await site.primary.storage.delete(name);
  expect(await site.send()).toMatchObject({ failed: [], unlocked: [], replicated: [{ id: point.id }] });
  expect(await readTiny(site.replica, point)).toEqual(expectedContents(nodes(3)));
});

test("replication takes no point for whole of which something is hidden", async () => {
  const site = await sweptSite();
  const before = await namesOf(site.storage, "packs/");
  await captureTiny(site.primary, nodes(2));
  await site.send();
  site.clock.pass(1000);
  const point = await captureTiny(site.primary, nodes(3));
  for (const name of await namesOf(site.storage, "packs/")) if (!before.includes(name)) await site.storage.delete(name);
  expect(await site.send()).toMatchObject({ failed: [], replicated: [{ id: point.id }] });
  expect(await readTiny(site.replica, point)).toEqual(expectedContents(nodes(3)));
});
