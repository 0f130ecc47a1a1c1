import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { StillpointError } from "../../src/errors.ts";
import { forgetPoint, loadCatalog } from "../../src/repository/points/catalog.ts";
import { keepConfig } from "../../src/repository/points/kept-configs.ts";
import { lockEnd } from "../../src/replicate/point-locks.ts";
import { sealLockRecord } from "../../src/repository/locks/lock-record.ts";
import { lockedPoints, readPins } from "../../src/repository/locks/pins.ts";
import { repairRepository } from "../../src/repository/repair/repair.ts";
import type { Repository } from "../../src/repository/repository.ts";
import { inlineExecutor } from "../../src/repository/threads/executor.ts";
import { day, type LockedSite, makeLockedSite } from "../helpers/locked-site.ts";
import { captureTiny } from "../helpers/repository.ts";

const toBeLocked = /^(?:format$|keys\/|packs\/|index\/|points\/|config\/|locks\/)/;

/** The names of objects that aren't locked until then, of those that are to be. */
function unlocked({ storage }: LockedSite, until: number): string[] {
  return [...storage.versions.keys()].filter((name) => toBeLocked.test(name) && (storage.until(name) ?? 0) < until);
}

test("a lock lasts as long as asked at least, and a quarter more at most", () => {
  const time = fc.integer({ min: 0, max: 4e12 });
  fc.assert(
    fc.property(time, fc.integer({ min: day, max: 3660 * day }), fc.nat(1e9), (now, length, later) => {
      const end = lockEnd(now, length);
      expect(end % 1000).toBe(0);
      expect(end - now).toBeGreaterThanOrEqual(length);
      expect(end - now).toBeLessThanOrEqual(1.25 * length + 5000);
      expect(lockEnd(now + later, length)).toBeGreaterThanOrEqual(end);
    }),
  );
});

test("all that a point needs is locked from its first moment, and pinned", async () => {
  const site = await makeLockedSite();
  const point = await captureTiny(site.primary, { image: [1, 2, 3], files: { a: [4] } });
  await keepConfig(site.replica, { host: "web1", path: "/etc/stillpoint.yaml", text: "version: 1" });
  expect(await site.send()).toMatchObject({ failed: [], unlocked: [], ended: undefined });
  const until = lockEnd(site.clock.now(), 20 * day);
  expect(unlocked(site, until)).toEqual([]);
  const pins = await readPins(site.replica, locksOf(site), {});
  const pinned = [...pins.objects].map(([name, { version }]) => `${name} ${version}`);
  const stored = [...site.storage.versions].map(([name, versions]) => `${name} ${versions[0]?.id ?? ""}`);
  expect(pinned.toSorted()).toEqual(stored.toSorted());
  expect([...pins.points]).toEqual([[point.id, until]]);
  expect(site.storage.versions.get(point.name)).toHaveLength(1);
});

test("locks are measured by the store's clock, however wrong the host's is", async () => {
  const site = await makeLockedSite();
  const { id } = await captureTiny(site.primary, { image: [1] });
  const storesTime = site.clock.now() - 400 * day;
  locksOf(site).require = async () => await Promise.resolve(storesTime);
  await site.send();
  const until = lockEnd(storesTime, 20 * day);
  expect(site.storage.until("format")).toBe(until);
  expect((await readPins(site.replica, locksOf(site), {})).points.get(id)).toBe(until);
});

test("what is locked already isn't looked at again, until the next quarter", async () => {
  const site = await makeLockedSite();
  await captureTiny(site.primary, { image: [1, 2, 3] });
  await site.send();
  const first = site.storage.extended.length;
  site.clock.pass(3_600_000);
  await captureTiny(site.primary, { image: [1, 2, 9] });
  await site.send();
  expect(site.storage.extended).toHaveLength(first);
  site.clock.pass(5 * day);
  await site.send();
  // Nothing new was captured, and everything is locked anew, once.
  const again = site.storage.extended.slice(first);
  expect(new Set(again).size).toBe(again.length);
  expect(unlocked(site, lockEnd(site.clock.now(), 20 * day)).every((name) => name.startsWith("locks/"))).toBe(true);
  await site.send();
  expect(site.storage.extended).toHaveLength(first + again.length);
});

test.each(["a point", "its objects"])(
  "a record of somebody else keeps nothing from being renewed: %s",
  async (what) => {
    const site = await makeLockedSite();
    const { id } = await captureTiny(site.primary, { image: [1, 2] });
    await site.send();
    site.clock.pass(6 * day);
    const { objects: pinned } = await readPins(site.replica, locksOf(site), {});
    const until = site.clock.now() + 400 * day;
    const objects = new Map([...pinned].map(([name, { version }]) => [name, version]));
    const claim = what === "a point" ? { points: [id], objects: new Map<string, string>() } : { points: [], objects };
    const { name, data } = sealLockRecord(site.primary.keys, { time: site.clock.now(), until, ...claim });
    await locksOf(site).put(name, [data], until);
    expect(await site.send()).toMatchObject({ unlocked: [], unlockedPoints: 0 });
    const needed = unlocked(site, lockEnd(site.clock.now(), 20 * day)).filter((one) => !one.startsWith("locks/"));
    expect(needed).toEqual([]);
  },
);

test("records that can't be remembered are told, and what they name is locked once more by the next run", async () => {
  const site = await makeLockedSite();
  await captureTiny(site.primary, { image: [1, 2] });
  const full = new StillpointError("storage_failed", { what: "the state folder is full" });
  const own = { read: async () => await Promise.resolve(new Set<string>()), note: () => Promise.reject(full) };
  expect(await site.send({ own })).toMatchObject({ replicated: [{}], unlocked: [full], unlockedPoints: 0 });
  const first = site.storage.extended.length;
  await site.send();
  expect(site.storage.extended.length).toBeGreaterThan(first);
  expect(unlocked(site, lockEnd(site.clock.now(), 20 * day))).toEqual([]);
});

test("what the rules don't keep isn't renewed, and what only such points need isn't, either", async () => {
  const site = await makeLockedSite();
  const old = await captureTiny(site.primary, { image: [1, 2] });
  await site.send();
  const until = site.storage.until(old.name);
  const packsOfOld = [...site.storage.versions.keys()].filter((name) => name.startsWith("packs/"));
  site.clock.pass(6 * day);
  const young = await captureTiny(site.primary, { image: [3, 4] });
  await site.send({ keeps: () => new Set() });
  for (const name of [old.name, ...packsOfOld]) expect(site.storage.until(name)).toBe(until);
  expect(site.storage.until(young.name)).toBe(lockEnd(site.clock.now(), 20 * day));
});

test("a point that the primary has forgotten is renewed from what the replica has", async () => {
  const site = await makeLockedSite();
  await captureTiny(site.primary, { image: [1, 2], files: { a: [3] } });
  await site.send();
  const [point] = (await loadCatalog(site.primary)).points;
  if (point === undefined) throw new Error("no point");
  await forgetPoint(site.primary, point, "test");
  for await (const { name } of site.primary.storage.list("packs/")) await site.primary.storage.delete(name);
  site.clock.pass(6 * day);
  expect(await site.send()).toMatchObject({ unlocked: [], ended: undefined });
  const until = lockEnd(site.clock.now(), 20 * day);
  expect(unlocked(site, until).filter((name) => !name.startsWith("locks/"))).toEqual([]);
});

test("a replica that wasn't locked is locked whole when it is to be", async () => {
  const site = await makeLockedSite();
  await captureTiny(site.primary, { image: [1, 2] });
  await captureTiny(site.primary, { image: [2, 3] }, { source: "other" });
  await site.send("unlocked");
  expect(unlocked(site, 1)).not.toEqual([]);
  await site.send();
  expect(unlocked(site, lockEnd(site.clock.now(), 20 * day))).toEqual([]);
});

test("what isn't there any more is told, and keeps nothing else from being locked or sent", async () => {
  const site = await makeLockedSite();
  const { id } = await captureTiny(site.primary, { image: [1, 2] });
  await captureTiny(site.primary, { image: [3] }, { source: "other" });
  await site.send();
  site.clock.pass(6 * day);
  site.storage.versions.delete("format");
  await captureTiny(site.primary, { image: [1, 2, 4] });
  const report = await site.send();
  expect(report).toMatchObject({ ended: undefined, replicated: [{}], unlockedPoints: 3 });
  expect(report.unlocked.map(({ message }) => message)).toContainEqual(expect.stringContaining("format"));
  const until = lockEnd(site.clock.now(), 20 * day);
  expect(unlocked(site, until).every((name) => name.startsWith("locks/"))).toBe(true);
  expect((await lockedPoints(site.replica, {})).get(id)).toBeLessThan(until);
});

test("what was put in the place of a locked version that is gone isn't locked instead", async () => {
  const site = await makeLockedSite();
  const { id } = await captureTiny(site.primary, { image: [1, 2] });
  await site.send();
  const pack = [...site.storage.versions.keys()].find((name) => name.startsWith("packs/")) ?? "";
  const data = await site.storage.get(pack);
  site.storage.versions.delete(pack);
  await site.storage.put(pack, [Buffer.alloc(data.length)]);
  site.clock.pass(6 * day);
  const { unlocked: told } = await site.send();
  expect(told.map(({ message }) => message)).toEqual([expect.stringContaining(`${pack}: it isn't there any more`)]);
  expect(site.storage.until(pack)).toBeUndefined();
  expect((await lockedPoints(site.replica, {})).get(id)).toBeLessThan(lockEnd(site.clock.now(), 20 * day));
});

test.each(["hidden", "gone"])(
  "a point of which something is %s isn't taken for locked, until it is whole again",
  async (how) => {
    const site = await makeLockedSite();
    const { id } = await captureTiny(site.primary, { image: [1, 2] });
    await site.send();
    const folder = how === "hidden" ? "index/" : "packs/";
    const names = [...site.storage.versions.keys()].filter((name) => name.startsWith(folder));
    for (const name of names) {
      if (how === "hidden") await site.storage.delete(name);
      else site.storage.versions.delete(name);
    }
    site.clock.pass(6 * day);
    const report = await site.send();
    expect(report.unlockedPoints).toBe(1);
    expect(report.unlocked.map(({ message }) => message)).toEqual([
      expect.stringContaining(`all of the recovery point ${id}`),
    ]);
    expect((await lockedPoints(site.replica, {})).get(id)).toBeLessThan(lockEnd(site.clock.now(), 20 * day));
    await repairRepository(site.replica, { executor: inlineExecutor, replicas: [site.primary], replica: true });
    expect(await site.send()).toMatchObject({ unlocked: [], unlockedPoints: 0, ended: undefined });
    expect((await lockedPoints(site.replica, {})).get(id)).toBe(lockEnd(site.clock.now(), 20 * day));
  },
);

describe("cut off", () => {
  test.each(["points/", "locks/", "index/"])("at %s, the next run locks what this one left", async (folder) => {
    const site = await makeLockedSite();
    const locks = locksOf(site);
    const put = locks.put.bind(locks);
    await captureTiny(site.primary, { image: [1, 2] });
    locks.put = async (name, ...rest) => {
      if (!name.startsWith(folder)) return await put(name, ...rest);
      throw new StillpointError("storage_failed", { what: "cut off" });
    };
    expect((await site.send()).ended).toMatchObject({ code: "storage_failed" });
    locks.put = put;
    expect(await site.send()).toMatchObject({ unlocked: [], ended: undefined });
    expect(unlocked(site, lockEnd(site.clock.now(), 20 * day))).toEqual([]);
    expect((await lockedPoints(site.replica, {})).size).toBe(1);
  });

  test.each([
    ["storage_failed", 1],
    ["cancelled", undefined],
  ] as const)("by %s, it is told as much as is known", async (code, unlockedPoints) => {
    const site = await makeLockedSite();
    await captureTiny(site.primary, { image: [1, 2] });
    await site.send();
    site.clock.pass(6 * day);
    locksOf(site).extend = async () => await Promise.reject(new StillpointError(code, { what: "cut off" }));
    expect(await site.send()).toMatchObject({ ended: { code }, unlockedPoints });
  });
});

test("what somebody put over an object before it was pinned isn't taken for it", async () => {
  const site = await makeLockedSite();
  await captureTiny(site.primary, { image: [1, 2] });
  await site.send("unlocked");
  const pack = [...site.storage.versions.keys()].find((name) => name.startsWith("packs/")) ?? "";
  const genuine = site.storage.versions.get(pack)?.[0]?.id;
  for (const byte of [1, 2]) await site.storage.put(pack, [Buffer.from(await site.storage.get(pack)).fill(byte)]);
  await site.send();
  expect((await readPins(site.replica, locksOf(site), {})).objects.get(pack)?.version).toBe(genuine);
});

function locksOf({ replica }: { readonly replica: Repository }): NonNullable<Repository["storage"]["locks"]> {
  const { locks } = replica.storage;
  if (locks === undefined) throw new Error("no locks");
  return locks;
}
