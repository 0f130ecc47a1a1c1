import fc from "fast-check";
import { beforeEach, describe, expect, test } from "vitest";
import { isReliable } from "../../../src/capture/describe-capture.ts";
import { BlobStore } from "../../../src/repository/blobs/blob-store.ts";
import { loadCatalog } from "../../../src/repository/points/catalog.ts";
import { checkRepository } from "../../../src/repository/check/check.ts";
import { inlineExecutor } from "../../../src/repository/threads/executor.ts";
import { headerLength } from "../../../src/repository/format.ts";
import { sealIndex } from "../../../src/repository/blobs/index-object.ts";
import type { RecoveryPoint } from "../../../src/repository/points/manifest.ts";
import { type PackInfo, packName } from "../../../src/repository/blobs/pack.ts";
import { repairRepository, type RepairOptions, type RepairReport } from "../../../src/repository/repair/repair.ts";
import type { Repository } from "../../../src/repository/repository.ts";
import { putSmallObject } from "../../../src/repository/points/small-objects.ts";
import { sweep } from "../../../src/repository/sweep/sweep.ts";
import type { SimulatedDisk } from "../../helpers/simulated-disk.ts";
import {
  alter,
  captureTiny,
  expectedContents,
  flipByte,
  makeReplicaOf,
  makeTestRepository,
  namesOf,
  overriding,
  readTiny,
  reopen,
  type TestRepository,
  type TinyContent,
  withBadSector,
} from "../../helpers/repository.ts";

const day = 86_400_000;
const executor = inlineExecutor;
let here: TestRepository;
let there: TestRepository;
let repository: Repository;
let replicas: Repository[];

/** The points of a repository with the contents that they were made of. */
const contents: readonly TinyContent[] = [
  { image: [1, 2, 0, 3], files: { a: [4, 5, 6], b: [7] } },
  { image: [1, 2, 8, 3], files: { a: [4, 5, 9], b: [7] } },
  { files: { a: [10, 11], c: [3, 3] } },
];
let points: RecoveryPoint[];

beforeEach(async () => {
  here = await makeTestRepository();
  ({ repository } = here);
  points = [];
  for (const content of contents) {
    const previous = points.at(-1);
    points.push(await captureTiny(repository, content, previous === undefined ? {} : { previous }));
    here.clock.pass(day);
  }
  there = await makeReplicaOf(here);
  for (const name of await namesOf(repository.storage)) {
    await there.repository.storage.put(name, [await repository.storage.get(name)]);
  }
  replicas = [there.repository];
});

async function repair(options: Partial<RepairOptions> = {}, where = repository): Promise<RepairReport> {
  return await repairRepository(where, { executor, replicas: [], ...options });
}

async function findings(where = repository): Promise<unknown[]> {
  const report = await checkRepository(where, { executor, readData: { group: 1, of: 1 } });
  return [...report.findings];
}

async function expectWhole(where: Repository, which = points.map((_, i) => i)): Promise<void> {
  for (const i of which) {
    expect(await readTiny(where, points[i] as RecoveryPoint)).toEqual(expectedContents(contents[i] ?? {}));
  }
}

async function packs(kind: PackInfo["class"]): Promise<PackInfo[]> {
  const all: PackInfo[] = [];
  await BlobStore.load(repository, { onIndex: (_, infos) => all.push(...infos) });
  return all.filter((pack) => pack.class === kind);
}

async function nameOfFirst(kind: PackInfo["class"]): Promise<string> {
  const first = points[0] as RecoveryPoint;
  const all = await packs(kind);
  const store = await BlobStore.load(repository);
  const times = all.map(({ id }) => store.present.get(id)?.time ?? 0);
  return packName(all[times.indexOf(Math.min(...times))]?.id ?? first.id);
}

describe("the index", () => {
  test("is made anew from the packs when it is lost or damaged, in part or as a whole", async () => {
    const names = await namesOf(repository.storage, "index/");
    for (const lose of [names, names.slice(0, 1)]) {
      for (const how of ["delete", "flip"]) {
        const disk = here.disk.copy();
        for (const name of lose) {
          if (how === "delete") await disk.unlink(`/repository/${name}`);
          else await alter(disk, name, flipByte(60));
        }
        const broken = reopen(here, disk).repository;
        const report = await repair({}, broken);
        expect(report).toMatchObject({ lost: [], salvaged: 0, fetched: 0 });
        expect(report.indexed.length).toBeGreaterThan(1);
        await expectWhole(broken);
        expect(await findings(broken)).toEqual([]);
      }
    }
  });

  test("that contradicts a pack is corrected", async () => {
    const all = [...(await packs("data")), ...(await packs("metadata"))];
    const lies = all.map((pack, i) => (i > 0 ? pack : { ...pack, table: flipByte(3)(Buffer.from(pack.table)) }));
    for (const name of await namesOf(repository.storage, "index/")) await repository.storage.delete(name);
    const lie = sealIndex(repository.keys, lies);
    await repository.storage.put(lie.name, [lie.data]);
    await repair();
    await expectWhole(repository);
    expect(await findings()).toEqual([]);
  });
});

describe("with a replica", () => {
  test("points that only other missing points name come back, and all that they need", async () => {
    const disk = here.disk.copy();
    const [first, second] = points.map(({ name }) => name);
    const [pack] = (await namesOf(repository.storage, "packs/")).slice(-1);
    for (const name of [first, second, pack]) await ruin(disk, String(name), "delete", 0);
    const broken = reopen(here, disk).repository;
    const report = await repair({ replicas }, broken);
    expect(report.objects.map(({ name }) => name).toSorted()).toEqual([first, second].map(String).toSorted());
    expect(report.lost).toEqual([]);
    await expectWhole(broken);
  });

  test("any damaged or missing object is whole again", async () => {
    const names = (await namesOf(repository.storage)).filter((name) => /^(packs|index|points)\//.test(name));
    const damage = fc.record({
      objects: fc.uniqueArray(fc.nat(names.length - 1), { minLength: 1, maxLength: 4 }),
      at: fc.nat(),
      how: fc.constantFrom("flip", "cut", "delete", "empty"),
    });
    await fc.assert(
      fc.asyncProperty(damage, async ({ objects, at, how }) => {
        const disk = here.disk.copy();
        for (const i of objects) await ruin(disk, names[i] as string, how, at);
        const broken = reopen(here, disk).repository;
        const report = await repair({ replicas }, broken);
        // A point that no later one names can vanish without a trace: deleting the newest ones is beyond a repair.
        const deleted = new Set(how === "delete" ? objects.map((i) => names[i]) : []);
        const newestLeft = points.findLastIndex((point) => !deleted.has(point.name));
        expect(report.lost).toEqual([]);
        await expectWhole(broken, [0, 1, 2].slice(0, newestLeft + 1));
        expect(await findings(broken)).toEqual([]);
      }),
      { numRuns: 20 },
    );
  });

  test("all packs at once come back", async () => {
    for (const name of await namesOf(repository.storage, "packs/")) await repository.storage.delete(name);
    const report = await repair({ replicas });
    expect(report.lost).toEqual([]);
    expect(report.fetched).toBeGreaterThan(10);
    await expectWhole(repository);
    expect(await findings()).toEqual([]);
  });

  test("the second one is asked when the first can't help", async () => {
    const name = await nameOfFirst("data");
    for (const disk of [here.disk, there.disk]) await alter(disk, name, flipByte(headerLength + 10));
    const third = await makeReplicaOf(here, "third");
    for (const object of await namesOf(there.repository.storage)) {
      await third.repository.storage.put(object, [await there.repository.storage.get(object)]);
    }
    expect((await repair({ replicas: [there.repository] })).lost).toHaveLength(1);
    await alter(third.disk, name, flipByte(headerLength + 10));
    expect(await repair({ replicas: [there.repository, third.repository] })).toMatchObject({ lost: [], fetched: 1 });
    await expectWhole(repository);
  });

  test("a dry run says what would be done, and does nothing", async () => {
    await alter(here.disk, await nameOfFirst("data"), flipByte(headerLength + 10));
    await alter(here.disk, (points[1] as RecoveryPoint).name, flipByte(70));
    const before = here.disk.contents();
    expect(await repair({ replicas, dryRun: true })).toMatchObject({
      dryRun: true,
      objects: [{ name: points[1]?.name, action: "restore", from: "replica" }],
      fetched: 1,
      lost: [],
    });
    expect(here.disk.contents()).toEqual(before);
  });
});

describe("without a replica", () => {
  test("it says exactly what is lost and saves the rest", async () => {
    const name = await nameOfFirst("data");
    // The blobs in order: 1, 2, 3 of the image, then 4, 5, 6 of the file a.
    await alter(here.disk, name, flipByte(headerLength + 4 * (512 + 16) + 9));
    const report = await repair();
    expect(report.dropped).toEqual([name]);
    expect(report.salvaged).toBeGreaterThan(4);
    expect(report.lost).toMatchObject([
      {
        kind: "blob",
        affected: points
          .slice(0, 2)
          .map(({ id }) => ({ point: id, path: "data/a", offset: 512, length: 512 }))
          .toSorted((a, b) => (a.point < b.point ? -1 : 1)),
      },
    ]);
    await expectWhole(repository, [2]);
    expect(await findings()).toMatchObject([{ kind: "pack", object: name }]);
    // The damaged pack is still there, for whoever wants to try; captures don't rely on it any more.
    expect(await namesOf(repository.storage, name)).toEqual([name]);
    const again = await captureTiny(repository, contents[0] as TinyContent);
    expect(await readTiny(repository, again)).toEqual(expectedContents(contents[0] as TinyContent));
    // And the content's coming back has made the older points whole.
    await expectWhole(repository);
    expect(await findings()).toEqual([]);
  });

  test("the blobs of a pack whose table is damaged are saved by what the index says", async () => {
    const name = await nameOfFirst("data");
    await alter(here.disk, name, (data) => flipByte(data.length - 20)(data));
    expect(await repair()).toMatchObject({ lost: [], fetched: 0 });
    await expectWhole(repository);
    expect(await findings()).toEqual([]);
  });

  test("a manifest that can't be read stays, and is reported", async () => {
    const bad = points[1] as RecoveryPoint;
    await alter(here.disk, bad.name, flipByte(70));
    const report = await repair();
    expect(report.lost).toMatchObject([{ kind: "object", object: bad.name, affected: [{ point: bad.id }] }]);
    expect(await namesOf(repository.storage, bad.name)).toEqual([bad.name]);
    await expectWhole(repository, [0, 2]);
  });

  test("a hold stays a hold, and other small objects go", async () => {
    const [point] = points;
    const about = { version: 1, point: point?.id ?? "", time: new Date(here.clock.now()).toISOString() } as const;
    const names = [
      await putSmallObject(repository, "holds", { ...about, reason: "the lawyer" }),
      await putSmallObject(repository, "tags", { ...about, tags: ["a"] }),
      await putSmallObject(repository, "proofs", {
        ...about,
        method: "restore",
        result: "passed",
        seconds: 1,
        detail: "",
      }),
      await putSmallObject(repository, "config", { version: 1, time: about.time, host: "h", path: "/c", text: "" }),
    ];
    await sweep(repository, { grace: day, executor });
    names.push(...(await namesOf(repository.storage, "sweeps/")));
    for (const name of names) await alter(here.disk, name, flipByte(50));
    const report = await repair();
    expect(report.objects.map(({ action }) => action).sort()).toEqual([
      "remove",
      "remove",
      "remove",
      "remove",
      "renew",
    ]);
    expect(await findings()).toEqual([]);
    const { points: left } = await loadCatalog(repository);
    expect(left.find(({ id }) => id === point?.id)?.hold).toBeDefined();
  });
});

test("after a repair, a sweep takes the damaged pack away, and nothing else", async () => {
  const name = await nameOfFirst("data");
  await alter(here.disk, name, flipByte(headerLength + 10));
  await repair({ replicas });
  for (let i = 0; i < 2; i++) {
    here.clock.pass(day);
    await sweep(repository, { grace: day, executor });
  }
  expect(await namesOf(repository.storage, name)).toEqual([]);
  await expectWhole(repository);
  expect(await findings()).toEqual([]);
});

async function ruin(disk: SimulatedDisk, name: string, how: string, at: number): Promise<void> {
  if (how === "delete") await disk.unlink(`/repository/${name}`);
  else if (how === "flip") await alter(disk, name, flipByte(at));
  else await alter(disk, name, (data) => data.subarray(0, how === "empty" ? 0 : at % data.length));
}

describe("proofs", () => {
  test("say which points aren't whole before the index stops naming what they have lost", async () => {
    const pack = await nameOfFirst("data");
    await alter(here.disk, pack, (data) => flipByte(headerLength + 5)(data));
    const proven: string[][] = [];
    const storage = overriding(repository.storage, {
      delete: async (...call) => {
        if (call[0].startsWith("index/")) proven.push(await failed());
        await repository.storage.delete(...call);
      },
    });
    const { lost, dropped } = await repair({}, { ...repository, storage });
    expect(dropped).toEqual([pack]);
    const affected = new Set(lost.flatMap((finding) => finding.affected.map(({ point }) => point)));
    expect(affected.size).toBe(2);
    expect(proven.length).toBeGreaterThan(0);
    for (const ids of proven) expect(new Set(ids)).toEqual(affected);
    // Captures rely on the others alone.
    const store = await BlobStore.load(repository);
    expect(store.lost.size).toBe(0);
    for (const point of (await loadCatalog(repository)).points)
      expect(isReliable(store, point)).toBe(!affected.has(point.id));
    // Nothing is said twice.
    await repair();
    expect(await namesOf(repository.storage, "proofs/")).toHaveLength(2);
  });

  test("aren't stored when a replica has what is lost here, nor by a dry run", async () => {
    await alter(here.disk, await nameOfFirst("data"), (data) => flipByte(headerLength + 5)(data));
    await repair({ dryRun: true });
    await repair({ replicas });
    expect(await namesOf(repository.storage, "proofs/")).toEqual([]);
  });

  async function failed(): Promise<string[]> {
    const { points: all } = await loadCatalog(repository);
    return all.filter(({ proof }) => proof?.result === "failed").map(({ id }) => id);
  }
});

describe("a bad sector", () => {
  test.each([
    ["a blob", 200],
    ["the header", 3],
    ["the table", -20],
  ])("in %s of a pack: the rest is saved, and what lies there comes from a replica", async (where, at) => {
    const [pack] = (await packs("data")).toSorted((a, b) => b.size - a.size);
    if (pack === undefined) throw new Error("no pack");
    const sick = withBadSector(repository, [packName(pack.id)], at < 0 ? pack.size + at : at);
    const report = await repair({ replicas }, sick);
    expect(report).toMatchObject({ dropped: [packName(pack.id)], lost: [] });
    expect(report.salvaged > 0).toBe(where !== "the header");
    expect(report.fetched > 0).toBe(where !== "the table");
    await expectWhole(sick);
  });

  test("in a blob that no replica has costs that blob alone", async () => {
    const [pack] = (await packs("data")).toSorted((a, b) => b.size - a.size);
    if (pack === undefined) throw new Error("no pack");
    const sick = withBadSector(repository, [packName(pack.id)], 200);
    const report = await repair({}, sick);
    expect(report.salvaged).toBeGreaterThan(0);
    expect(report.lost).toMatchObject([{ kind: "blob" }]);
  });

  test.each(["points", "index", "holds"])(
    "under an object of %s is mended by a replica, or from the packs",
    async (folder) => {
      const point = points[1]?.id ?? "";
      const time = new Date(here.clock.now()).toISOString();
      for (const { repository: one } of [here, there])
        await putSmallObject(one, "holds", { version: 1, point, time, reason: "r" });
      const [name = ""] = await namesOf(repository.storage, `${folder}/`);
      const sick = withBadSector(repository, [name]);
      expect(await repair({ replicas }, sick)).toMatchObject({ lost: [] });
      expect(await findings(sick)).toEqual([]);
      await expectWhole(sick);
    },
  );

  test.each(["tags", "proofs", "holds", "readers", "config"] as const)(
    "under an object of %s that no replica has deletes nothing: the storage may be well again",
    async (folder) => {
      const point = points[1]?.id ?? "";
      const time = new Date(here.clock.now()).toISOString();
      const common = { version: 1, point, time } as const;
      await putSmallObject(repository, "tags", { ...common, tags: ["x"] });
      await putSmallObject(repository, "holds", { ...common, reason: "r" });
      await putSmallObject(repository, "readers", { ...common, reader: "r" });
      const proof = { ...common, method: "restore", result: "passed", seconds: 1, detail: "" } as const;
      await putSmallObject(repository, "proofs", proof);
      await putSmallObject(repository, "config", { version: 1, time, host: "h", path: "/c", text: "version: 1" });
      const [name = ""] = await namesOf(repository.storage, `${folder}/`);
      const before = await repository.storage.get(name);
      const { lost, objects } = await repair({}, withBadSector(repository, [name]));
      expect(lost).toMatchObject([{ kind: "object", object: name }]);
      expect(objects).toEqual([]);
      expect(await repository.storage.get(name)).toEqual(before);
    },
  );
});
