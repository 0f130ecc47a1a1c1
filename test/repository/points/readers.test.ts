import { beforeEach, describe, expect, test } from "vitest";
import { unlessCancelled } from "../../../src/host/cancel.ts";
import { executePrune } from "../../../src/prune/execute-prune.ts";
import { planPrune, type PrunePlan } from "../../../src/prune/plan-prune.ts";
import { type CatalogPoint, forgetPoint, loadCatalog } from "../../../src/repository/points/catalog.ts";
import { Reading } from "../../../src/repository/points/readers.ts";
import { createRepository, type Repository } from "../../../src/repository/repository.ts";
import { sweep } from "../../../src/repository/sweep/sweep.ts";
import { inlineExecutor } from "../../../src/repository/threads/executor.ts";
import { createFsStorage, FsStorage } from "../../../src/storage/drivers/fs.ts";
import { readOnly } from "../../../src/storage/wrappers/read-only.ts";
import { ManualClock } from "../../helpers/manual-clock.ts";
import { rejection } from "../../helpers/rejection.ts";
import { captureTiny, namesOf, overriding } from "../../helpers/repository.ts";
import { SimulatedDisk } from "../../helpers/simulated-disk.ts";

const hour = 3_600_000;
const day = 24 * hour;
let clock: ManualClock;
let repository: Repository;
let old: CatalogPoint;
let said: string[];

beforeEach(async () => {
  clock = new ManualClock();
  const disk = new SimulatedDisk({ now: () => clock.now() });
  const place = { location: "primary", root: "/repository", files: disk };
  await createFsStorage(place);
  const storage = new FsStorage({ ...place, clock });
  const key = { type: "key-file", secret: Buffer.alloc(32, 7) } as const;
  repository = await createRepository({ storage, clock, key, label: "test" });
  for (let number = 1; number <= 3; number++) {
    await captureTiny(repository, { image: [number] });
    await clock.advance(hour);
  }
  [old] = (await loadCatalog(repository)).points as [CatalogPoint];
  said = [];
});

async function read(changes: Partial<Repository> = {}): Promise<Reading> {
  const onFailure = (message: string): void => void said.push(message);
  return await Reading.begin({ ...repository, ...changes }, old, { reader: "a test", onFailure });
}

async function plan(): Promise<PrunePlan> {
  const { points } = await loadCatalog(repository);
  const cap = { count: 0, age: 0 };
  const group = { policy: "p", source: "tiny", points, keep: { last: 1 }, timezone: "UTC", cap };
  return planPrune({ location: "primary", replica: false, now: clock.now(), groups: [group] });
}

async function notices(): Promise<string[]> {
  return await namesOf(repository.storage, "readers/");
}

/** Why the point isn't forgotten; nothing when it would be. */
async function keptBecause(): Promise<readonly string[]> {
  return (await plan()).groups[0]?.keep.find(({ id }) => id === old.id)?.reasons ?? [];
}

describe("a point that is being read", () => {
  test("stays, for weeks, and goes when that has ended", async () => {
    expect(await keptBecause()).toEqual([]);
    const reading = await read();
    expect(await keptBecause()).toEqual(["being read"]);
    await clock.advance(30 * day);
    expect(await keptBecause()).toEqual(["being read"]);
    expect(await notices()).toHaveLength(1);
    await reading[Symbol.asyncDispose]();
    expect(clock.sleeping).toBe(0);
    expect(await notices()).toEqual([]);
    const { forgotten } = await executePrune(repository, await plan());
    expect(forgotten).toContain(old.id);
    expect(said).toEqual([]);
  });

  test("stays when it is read only since the prune was planned", async () => {
    const planned = await plan();
    await using _ = await read();
    const { forgotten, held } = await executePrune(repository, planned);
    expect([forgotten.includes(old.id), held]).toEqual([false, [old.id]]);
  });

  test("can't be forgotten by hand either", async () => {
    await using _ = await read();
    expect(await rejection(forgetPoint(repository, old, "by hand"))).toMatchObject({ code: "usage" });
    expect(await namesOf(repository.storage, "forgotten/")).toEqual([]);
  });

  test("stays while one of two readers reads it", async () => {
    const one = await read();
    await using _ = await read();
    await one[Symbol.asyncDispose]();
    expect(await keptBecause()).toEqual(["being read"]);
  });

  test("goes three days after its reader has ended while the storage didn't answer any more", async () => {
    const dead = overriding(repository.storage, {
      delete: async (_, options) => await unlessCancelled(Promise.withResolvers<never>().promise, options?.signal),
    });
    const reading = await read({ storage: dead });
    await clock.runUntil(reading[Symbol.asyncDispose]());
    expect(await keptBecause()).toEqual(["being read"]);
    await clock.advance(3 * day);
    expect(await keptBecause()).toEqual([]);
  });

  test("goes three days after its reader was killed, and a sweep removes the notice", async () => {
    // Nothing of it runs any more, and it removes nothing.
    const dead = overriding(repository.storage, { delete: async () => await Promise.resolve() });
    await (await read({ storage: dead }))[Symbol.asyncDispose]();
    await clock.advance(3 * day - hour);
    expect(await keptBecause()).toEqual(["being read"]);
    await clock.runUntil(sweep(repository, { grace: day, executor: inlineExecutor }));
    expect(await notices()).toHaveLength(1);
    await clock.advance(hour);
    expect(await keptBecause()).toEqual([]);
    await clock.runUntil(sweep(repository, { grace: day, executor: inlineExecutor }));
    expect(await notices()).toEqual([]);
  });
});

describe("a reader", () => {
  test("that may not write is told, and reads all the same", async () => {
    await using _ = await read({ storage: readOnly(repository.storage) });
    expect(said).toEqual([expect.stringContaining("can't be kept from being forgotten while it is read")]);
    expect(await keptBecause()).toEqual([]);
  });

  test("that could not write for a while has kept the point, and does again", async () => {
    let full = false;
    const put: Repository["storage"]["put"] = async (...call) => {
      if (full) throw new Error("full");
      await repository.storage.put(...call);
    };
    await using _ = await read({ storage: overriding(repository.storage, { put }) });
    full = true;
    await clock.advance(2.5 * day);
    expect([said.length, await keptBecause()]).toEqual([2, ["being read"]]);
    full = false;
    await clock.advance(2 * day);
    expect([said.length, await keptBecause()]).toEqual([2, ["being read"]]);
  });

  test("of a point that was forgotten a moment ago is refused, and leaves nothing", async () => {
    await forgetPoint(repository, old, "test");
    expect(await rejection(read())).toMatchObject({ code: "not_found" });
    expect([await notices(), clock.sleeping]).toEqual([[], 0]);
  });

  test("that can't see whether its point is there leaves nothing", async () => {
    const stat: Repository["storage"]["stat"] = async () => await Promise.reject(new Error("away"));
    await expect(read({ storage: overriding(repository.storage, { stat }) })).rejects.toThrow("away");
    expect([await notices(), clock.sleeping]).toEqual([[], 0]);
  });

  test("hears when its point is forgotten all the same", async () => {
    await using _ = await read();
    await repository.storage.delete(old.name);
    await clock.advance(day);
    expect(said).toEqual([expect.stringContaining("has been forgotten while it is read")]);
  });
});
