/** What somebody with the access key, and even the repository's key, can do to a locked replica: seen by a check, undone by a repair. */
import { describe, expect, test } from "vitest";
import { checkRepository } from "../../../src/repository/check/check.ts";
import { viewLocked } from "../../../src/repository/check/locks.ts";
import { sealLockRecord } from "../../../src/repository/locks/lock-record.ts";
import { commitPoint, forgetPoint, loadCatalog } from "../../../src/repository/points/catalog.ts";
import { keepConfig } from "../../../src/repository/points/kept-configs.ts";
import type { RecoveryPoint } from "../../../src/repository/points/manifest.ts";
import { repairRepository } from "../../../src/repository/repair/repair.ts";
import { openRepository } from "../../../src/repository/repository.ts";
import { planSweep, type SweepPlan, usualLimits } from "../../../src/repository/sweep/plan.ts";
import { inlineExecutor as executor } from "../../../src/repository/threads/executor.ts";
import { day, type LockedSite, makeLockedSite } from "../../helpers/locked-site.ts";
import { captureTiny, expectedContents, readTiny } from "../../helpers/repository.ts";

const content = { image: [1, 2, 3], files: { a: [4, 0, 5] } };
const readData = { group: 1, of: 1 };

async function lockedSite(): Promise<LockedSite & { readonly point: RecoveryPoint; readonly objects: string[] }> {
  const site = await makeLockedSite();
  const point = await captureTiny(site.primary, content);
  await site.send();
  site.clock.pass(3_600_000);
  return { ...site, point, objects: [...site.storage.versions.keys()] };
}

/** Opened as on an empty machine, with the key alone. */
async function open({ storage, clock }: LockedSite): ReturnType<typeof openRepository> {
  const secret = { type: "key-file", secret: Buffer.alloc(32, 7) } as const;
  return await openRepository({ storage, clock, secret });
}

async function findings(site: LockedSite): Promise<{ kind: string; object: string; message: string }[]> {
  const report = await checkRepository(await open(site), { executor, readData, replica: true });
  return report.findings.map(({ kind, object, message }) => ({ kind, object, message }));
}

async function expectRepaired(site: LockedSite & { readonly point: RecoveryPoint }, undone: number): Promise<void> {
  const dry = await repairRepository(await open(site), { executor, replicas: [], replica: true, dryRun: true });
  expect(dry.objects.filter(({ action }) => action === "uncover")).toHaveLength(undone);
  const { objects, lost } = await repairRepository(await open(site), { executor, replicas: [], replica: true });
  expect(objects.filter(({ action }) => action === "uncover")).toHaveLength(undone);
  expect(lost).toEqual([]);
  expect(await findings(site)).toEqual([]);
  // What is back is locked as what was hidden.
  for (const { name } of objects.filter(({ action }) => action === "uncover"))
    expect(site.storage.versions.get(name)?.at(-1)?.until).toBe(site.storage.until(name));
  const repository = await open(site);
  expect((await loadCatalog(repository)).points.map(({ id }) => id)).toContain(site.point.id);
  expect(await readTiny(repository, site.point)).toEqual(expectedContents(content));
}

test("an untouched replica has no findings", async () => {
  const site = await lockedSite();
  expect(await findings(site)).toEqual([]);
  expect((await repairRepository(site.replica, { executor, replicas: [], replica: true })).objects).toEqual([]);
});

test.each([
  ["deleted", async (site: LockedSite, name: string) => await site.storage.delete(name)],
  ["overwritten", async (site: LockedSite, name: string) => await site.storage.put(name, [Buffer.from("forged")])],
  [
    "truncated",
    async (site: LockedSite, name: string) =>
      await site.storage.put(name, [(await site.storage.get(name)).subarray(0, 20)]),
  ],
])("one object of each kind, %s", async (_, harm) => {
  const site = await lockedSite();
  const kinds = ["format", "keys/", "packs/", "index/", "points/", "locks/"];
  const names = kinds.map((kind) => site.objects.find((name) => name.startsWith(kind)) ?? "");
  for (const name of names) await harm(site, name);
  const found = await findings(site);
  expect(found.every(({ kind }) => kind === "lock")).toBe(true);
  expect(found.map(({ object }) => object)).toEqual(names.toSorted());
  await expectRepaired(site, kinds.length);
});

test("a listing that was emptied", async () => {
  const site = await lockedSite();
  for (const name of site.objects) await site.storage.delete(name);
  expect((await findings(site)).map(({ object }) => object)).toEqual(site.objects.toSorted());
  await expectRepaired(site, site.objects.length);
});

test("a point that was forgotten with all its records is there when it is locked", async () => {
  const site = await lockedSite();
  const [point] = (await loadCatalog(site.replica)).points;
  if (point === undefined) throw new Error("no point");
  await forgetPoint(site.replica, point, "by a thief");
  expect(await findings(site)).toMatchObject([{ kind: "lock", object: point.name }]);
  await expectRepaired(site, 1);
});

test("what is replicated at the same time is no finding", async () => {
  const site = await lockedSite();
  const { locks } = site.storage;
  if (locks === undefined) throw new Error("no locks");
  const versions = locks.versions.bind(locks);
  const repository = await open(site);
  locks.versions = async function* overtaken(prefix) {
    yield* versions(prefix);
    locks.versions = versions;
    await captureTiny(site.primary, { image: [7, 8, 9] });
    await site.send();
  };
  const report = await checkRepository(repository, { executor, replica: true });
  expect(report).toMatchObject({ findings: [], points: 2 });
});

test("what is put again as it was is no finding", async () => {
  const site = await lockedSite();
  for (const name of site.objects) await site.storage.put(name, [await site.storage.get(name)]);
  expect(await findings(site)).toEqual([]);
});

/** Makes the records that are there the last to be listed. */
function listLast({ storage }: LockedSite, objects: readonly string[]): void {
  for (const name of objects.filter((one) => one.startsWith("locks/"))) {
    const versions = storage.versions.get(name) ?? [];
    storage.versions.delete(name);
    storage.versions.set(name, versions);
  }
}

test("a lock that was taken back, or never set", async () => {
  const site = await lockedSite();
  const names = ["packs/", "points/"].map((kind) => site.objects.find((name) => name.startsWith(kind)) ?? "");
  const [first, second] = names.map((name) => site.storage.versions.get(name)?.[0]);
  if (first === undefined || second === undefined) throw new Error("not there");
  first.until = undefined;
  second.until = site.clock.now() + day;
  const found = await findings(site);
  expect(found.map(({ kind, object }) => `${kind} ${object}`).toSorted()).toEqual(names.map((name) => `lock ${name}`));
  // A check that reads no content asks for the same.
  const structure = await checkRepository(await open(site), { executor, replica: true });
  expect(structure.findings.map(({ object }) => object).toSorted()).toEqual(names);
});

test("a locked version that is gone all the same; what was put there again as it was is read", async () => {
  const site = await lockedSite();
  const [pack = "", other = ""] = site.objects.filter((name) => name.startsWith("packs/"));
  const genuine = await site.storage.get(other);
  for (const name of [pack, other]) site.storage.versions.delete(name);
  await site.storage.put(other, [genuine]);
  const found = await findings(site);
  const gone = found.filter(({ kind }) => kind === "lock");
  expect(gone.map(({ object }) => object)).toEqual([pack, other].toSorted());
  for (const { message } of gone) expect(message).toContain("not even its locked version");
  expect(found.filter(({ kind }) => kind !== "lock")).toMatchObject([{ kind: "pack", object: pack }]);
  const { objects } = await repairRepository(await open(site), { executor, replicas: [site.primary], replica: true });
  expect(objects).toEqual([]);
  expect(await readTiny(site.replica, site.point)).toEqual(expectedContents(content));
});

test("a point that was hidden, and was sent again in another quarter", async () => {
  const site = await lockedSite();
  await site.storage.delete(site.point.name);
  site.clock.pass(6 * day);
  expect(await site.send()).toMatchObject({ unlocked: [], ended: undefined });
  expect(site.storage.versions.get(site.point.name)).toHaveLength(3);
  expect(await findings(site)).toEqual([]);
});

describe("forged by someone with the repository's key", () => {
  test.each(["before", "after"])("a record, listed %s the genuine one, that names another version", async (when) => {
    const site = await lockedSite();
    const pack = site.objects.find((name) => name.startsWith("packs/")) ?? "";
    await site.storage.put(pack, [Buffer.from("forged")]);
    const version = site.storage.versions.get(pack)?.at(-1)?.id ?? "";
    const until = site.clock.now() + 90 * day;
    const record = { time: site.clock.now(), until, points: [], objects: new Map([[pack, version]]) };
    const { name, data } = sealLockRecord(site.replica.keys, record);
    await site.storage.locks?.put(name, [data], until);
    if (when === "before") listLast(site, site.objects);
    expect(await findings(site)).toMatchObject([
      { kind: "lock", object: pack },
      { kind: "lock", object: name },
    ]);
    await repairRepository(await open(site), { executor, replicas: [], replica: true });
    expect(await readTiny(site.replica, site.point)).toEqual(expectedContents(content));
  });

  test("a record that says of a point that it is locked, when nobody has locked what it needs", async () => {
    const site = await lockedSite();
    const other = await captureTiny(site.primary, { ...content, image: [1, 2, 6] });
    await site.send();
    const genuine = site.storage.until(site.point.name) ?? 0;
    const until = site.clock.now() + 90 * day;
    const objects = new Map<string, string>();
    const record = { time: site.clock.now(), until, points: [site.point.id], objects };
    const { name, data } = sealLockRecord(site.replica.keys, record);
    await site.storage.locks?.put(name, [data], until);
    const found = await findings(site);
    expect(found.every(({ kind }) => kind === "lock")).toBe(true);
    const needed = site.objects.filter((object) => !/^(?:locks|points|index)\//.test(object));
    // Of what only the other point needs, nobody has said that it is locked for longer.
    const expected = new Set([...needed, site.point.name]);
    expect(found.map(({ object }) => object).toSorted()).toEqual([...expected].toSorted());
    expect(found.map(({ object }) => object)).not.toContain(other.name);
    // Somebody has extended everything but one pack.
    const last = needed.find((object) => object.startsWith("packs/")) ?? "";
    for (const object of expected) {
      const first = site.storage.versions.get(object)?.[0];
      if (first !== undefined && object !== last) first.until = until;
    }
    const [left, ...more] = await findings(site);
    expect(more).toEqual([]);
    expect(left).toMatchObject({ kind: "lock", object: last });
    expect(left?.message).toContain(new Date(genuine).toISOString().slice(0, 10));
  });

  test("policies that lock for different times at one replica are no finding", async () => {
    const site = await lockedSite();
    const own = new Set<string>();
    for (const [number, length] of [40 * day, 10 * day, 20 * day].entries()) {
      const other = await captureTiny(site.primary, { ...content, image: [1, 2, 6 + number] });
      await site.send({ length, keeps: () => new Set(own) });
      own.add(other.id);
      expect(await findings(site)).toEqual([]);
      site.clock.pass(3_600_000);
    }
  });

  test("a record without the key", async () => {
    const site = await lockedSite();
    const name = `locks/20990101T000000000Z-${"0".repeat(16)}`;
    await site.storage.put(name, [Buffer.from("forged")]);
    expect(await findings(site)).toMatchObject([{ kind: "object", object: name }]);
    const { plan } = await planSweep(site.replica, { grace: day, now: site.clock.now() });
    expect(plan.cleanup.flat()).toEqual([]);
  });

  test("a point dated in the future, which its time doesn't make honest when it is put there again then", async () => {
    const site = await lockedSite();
    const time = new Date(site.clock.now() + 10 * day).toISOString();
    const { name } = await commitPoint(site.replica, { ...site.point.manifest, time });
    expect(await findings(site)).toMatchObject([{ kind: "point", object: name }]);
    site.clock.pass(11 * day);
    await site.storage.put(name, [await site.storage.get(name)]);
    expect(await findings(site)).toMatchObject([{ kind: "point", object: name }]);
  });

  test("a point that was forgotten, put there again", async () => {
    const site = await lockedSite();
    site.clock.pass(60 * day);
    const [point] = (await loadCatalog(site.replica)).points;
    if (point === undefined) throw new Error("no point");
    const manifest = await site.storage.get(point.name);
    await captureTiny(site.primary, { image: [1, 2, 4] });
    await site.send({ keeps: () => new Set() });
    await forgetPoint(site.replica, point, "test");
    expect(await findings(site)).toEqual([]);
    site.clock.pass(1000);
    await site.storage.put(point.name, [manifest]);
    expect(await findings(site)).toMatchObject([{ kind: "point", object: point.name }]);
  });
});

test("with objects hidden or replaced, threads aren't told where the storage is: they would see what was done to it", async () => {
  const site = await lockedSite();
  const address = { kind: "fs", location: "vault", path: "/vault" } as const;
  const view = async (): Promise<unknown> => (await viewLocked({ ...site.replica, address }, {}))?.intact.address;
  expect(await view()).toBe(address);
  await site.storage.delete(site.point.name);
  expect(await view()).toBeUndefined();
});

describe("a sweep", () => {
  test("rewrites, joins and clears away nothing that is locked", async () => {
    const site = await lockedSite();
    await captureTiny(site.primary, { image: [7, 8] });
    for (let number = 0; number < 11; number++) {
      await keepConfig(site.replica, {
        host: "web1",
        path: "/etc/stillpoint.yaml",
        text: `version: ${String(number)}`,
      });
      site.clock.pass(1000);
    }
    await site.send();
    const plan = async (): Promise<SweepPlan> => {
      const limits = { ...usualLimits, share: 2, smallPack: 0, smallIndexes: 1 };
      return (await planSweep(site.replica, { grace: day, now: site.clock.now(), limits })).plan;
    };
    site.clock.pass(2 * day);
    expect(await plan()).toMatchObject({ rewrite: [], replaceIndexes: [], cleanup: [[], [], []] });
    site.clock.pass(30 * day);
    const free = await plan();
    expect([free.rewrite.length, free.replaceIndexes.length]).toEqual([4, 2]);
    expect(free.cleanup.flat().filter((name) => name.startsWith("config/"))).toHaveLength(1);
  });

  test("keeps what is locked and not needed, and says until when", async () => {
    const site = await lockedSite();
    const until = site.storage.until(site.point.name) ?? 0;
    site.clock.pass(6 * day);
    await captureTiny(site.primary, { image: [7, 8] });
    await site.send({ keeps: () => new Set() });
    const old = (await loadCatalog(site.replica)).points.find(({ id }) => id === site.point.id);
    if (old === undefined) throw new Error("no point");
    await forgetPoint(site.replica, old, "test");
    const plan = async () => (await planSweep(site.replica, { grace: day, now: site.clock.now() })).plan;
    expect(await plan()).toMatchObject({ condemn: [], remove: [], rewrite: [], replaceIndexes: [] });
    expect((await plan()).kept).toMatchObject([{ reason: "locked", until }]);
    site.clock.pass(until - site.clock.now() + 1000);
    const { condemn, kept, cleanup } = await plan();
    expect(kept).toEqual([]);
    expect(condemn.length).toBeGreaterThan(0);
    expect(cleanup.flat().filter((name) => name.startsWith("locks/"))).toHaveLength(1);
  });
});
