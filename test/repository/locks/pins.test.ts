/** What the records say together. What somebody does to them is in attacks.test.ts. */
import { expect, test } from "vitest";
import { StillpointError } from "../../../src/errors.ts";
import { type LockContent, sealLockRecord } from "../../../src/repository/locks/lock-record.ts";
import { type Pins, readPins } from "../../../src/repository/locks/pins.ts";
import type { ObjectLocks, ObjectVersion } from "../../../src/storage/object-locks.ts";
import { day, type LockedSite, makeLockedSite } from "../../helpers/locked-site.ts";

const point = "ab".repeat(16);

async function record({ clock, replica, storage }: LockedSite, content: Partial<LockContent>): Promise<string> {
  const until = content.until ?? clock.now() + day;
  const all = { time: clock.now(), points: [], objects: new Map<string, string>(), ...content, until };
  const { name, data } = sealLockRecord(replica.keys, all);
  await storage.locks?.put(name, [data], until);
  return name;
}

async function pinsOf({ replica, storage }: LockedSite, changes: Partial<ObjectLocks> = {}): Promise<Pins> {
  if (storage.locks === undefined) throw new Error("no locks");
  return await readPins(replica, { ...storage.locks, ...changes }, {});
}

test.each([
  [1, 2],
  [2, 1],
])("of two records, until days %i and %i, the one that lasts longer counts", async (...days) => {
  const site = await makeLockedSite();
  await site.storage.put("packs/a", [Buffer.from("x")]);
  const version = site.storage.versions.get("packs/a")?.[0]?.id ?? "";
  const begin = site.clock.now();
  for (const one of days)
    await record(site, { until: begin + one * day, points: [point], objects: new Map([["packs/a", version]]) });
  const { objects, points, contradictions } = await pinsOf(site);
  expect(objects.get("packs/a")).toEqual({ version, until: begin + 2 * day });
  expect([...points]).toEqual([[point, begin + 2 * day]]);
  expect(contradictions).toEqual([]);
});

test("a record that goes away while it is looked for says nothing, and isn't damage", async () => {
  const site = await makeLockedSite();
  const name = await record(site, { points: [point] });
  const gone = async (): Promise<never> => await Promise.reject(new StillpointError("object_missing", { what: name }));
  expect(await pinsOf(site, { get: gone })).toMatchObject({ objects: new Map(), points: new Map(), damaged: [] });
});

test("a version of an absurd length in a record's place is damage, is never read, and hides no other version", async () => {
  const site = await makeLockedSite();
  const name = await record(site, { points: [point] });
  const { locks } = site.storage;
  if (locks === undefined) throw new Error("no locks");
  const huge = (genuine: ObjectVersion): ObjectVersion => ({ ...genuine, version: "huge", size: 2 ** 43, time: 0 });
  const withHuge = (both: boolean): Partial<ObjectLocks> => ({
    async *versions(prefix, options) {
      for await (const one of locks.versions(prefix, options)) {
        yield huge(one);
        if (both) yield one;
      }
    },
    get: async (of, version) => {
      if (version === "huge") throw new RangeError("Array buffer allocation failed");
      return await locks.get(of, version);
    },
  });
  expect([...(await pinsOf(site, withHuge(true))).points.keys()]).toEqual([point]);
  const { points, damaged } = await pinsOf(site, withHuge(false));
  expect(points.size).toBe(0);
  expect(damaged).toEqual([{ name, error: expect.objectContaining({ code: "damaged" }) as unknown }]);
});
