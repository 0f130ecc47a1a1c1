import fc from "fast-check";
import { beforeEach, describe, expect, test } from "vitest";
import { isStillpointError, StillpointError } from "../../../src/errors.ts";
import { BlobStore } from "../../../src/repository/blobs/blob-store.ts";
import { forgetPoint, loadCatalog } from "../../../src/repository/points/catalog.ts";
import { checkRepository, type CheckOptions, type CheckReport } from "../../../src/repository/check/check.ts";
import { inlineExecutor } from "../../../src/repository/threads/executor.ts";
import { headerLength } from "../../../src/repository/format.ts";
import { sealIndex } from "../../../src/repository/blobs/index-object.ts";
import type { RecoveryPoint } from "../../../src/repository/points/manifest.ts";
import { type PackInfo, packName } from "../../../src/repository/blobs/pack.ts";
import { parseTable } from "../../../src/repository/blobs/pack-table.ts";
import type { Repository } from "../../../src/repository/repository.ts";
import { putSmallObject } from "../../../src/repository/points/small-objects.ts";
import { sweep } from "../../../src/repository/sweep/sweep.ts";
import { FaultyStorage } from "../../helpers/faulty-storage.ts";
import { rejection } from "../../helpers/rejection.ts";
import {
  alter,
  blockLength,
  captureTiny,
  flipByte,
  makeTestRepository,
  namesOf,
  overriding,
  reopen,
  storeTiny,
  type TestRepository,
  withBadSector,
} from "../../helpers/repository.ts";

const day = 86_400_000;
const everything = { group: 1, of: 1 };
let here: TestRepository;
let repository: Repository;

beforeEach(async () => {
  here = await makeTestRepository();
  ({ repository } = here);
});

async function check(options: Partial<CheckOptions> = {}, where = repository): Promise<CheckReport> {
  return await checkRepository(where, { executor: inlineExecutor, readData: everything, ...options });
}

/** Packs of a class, as the index has them. */
async function packsOf(kind: "data" | "metadata"): Promise<PackInfo[]> {
  const packs: PackInfo[] = [];
  await BlobStore.load(repository, { onIndex: (_, infos) => packs.push(...infos) });
  return packs.filter((pack) => pack.class === kind);
}

/** A repository with an object of every kind. */
async function fill(): Promise<RecoveryPoint[]> {
  const time = (): string => new Date(here.clock.now()).toISOString();
  const first = await captureTiny(repository, { image: [1, 2, 0, 3], files: { a: [4, 5], b: [6] } });
  here.clock.pass(day);
  const second = await captureTiny(repository, { image: [1, 2, 7, 3], files: { a: [4, 8] } }, { previous: first });
  const third = await captureTiny(repository, { files: { c: [9] } }, { source: "other" });
  const [point] = (await loadCatalog(repository)).points;
  if (point !== undefined) await forgetPoint(repository, point, "test");
  await putSmallObject(repository, "tags", { version: 1, point: second.id, time: time(), tags: ["a", "b"] });
  await putSmallObject(repository, "tags", {
    version: 1,
    point: second.id,
    time: new Date(0).toISOString(),
    tags: ["c"],
  });
  await putSmallObject(repository, "holds", { version: 1, point: third.id, time: time(), reason: "why not" });
  const proof = {
    version: 1,
    point: third.id,
    time: time(),
    method: "restore",
    result: "passed",
    seconds: 1,
    detail: "",
  } as const;
  await putSmallObject(repository, "proofs", proof);
  await putSmallObject(repository, "config", { version: 1, time: time(), host: "h", path: "/c", text: "version: 1" });
  await sweep(repository, { grace: day, executor: inlineExecutor });
  // A writer that was killed before it wrote its index.
  const indexes = await namesOf(repository.storage, "index/");
  await storeTiny(repository, { image: [50, 51] });
  for (const name of await namesOf(repository.storage, "index/")) {
    if (!indexes.includes(name)) await repository.storage.delete(name);
  }
  return [second, third];
}

describe("a healthy repository", () => {
  test("has no findings, and a full read proves every point", async () => {
    const first = await captureTiny(repository, { image: [1, 2, 0, 3], files: { a: [4, 5], b: [6] } });
    await captureTiny(repository, { image: [1, 2, 0, 9] }, { previous: first });
    const report = await check({ recordProofs: true });
    expect(report).toMatchObject({ findings: [], points: 2, proofs: 2 });
    let bytes = 0;
    for await (const { size } of repository.storage.list("packs/")) bytes += size;
    expect(report.bytesRead).toBe(bytes);
    const { points } = await loadCatalog(repository);
    for (const { proof } of points) expect(proof).toMatchObject({ method: "read-data", result: "passed" });
  });

  test("proves nothing when only a part was read", async () => {
    await captureTiny(repository, { image: [1, 2] });
    expect(await check({ recordProofs: true, readData: { group: 1, of: 2 } })).toMatchObject({ proofs: 0 });
    expect(await check({ recordProofs: true, readData: undefined })).toMatchObject({ proofs: 0, bytesRead: 0 });
  });

  test("takes back what was proven when anything can't be read, once, until everything was read and is whole", async () => {
    const damaged = await captureTiny(repository, { image: [1, 2] });
    const [pack] = await packsOf("data");
    const other = await captureTiny(repository, { image: [3, 4] }, { source: "other" });
    await check({ recordProofs: true });
    const name = packName(pack?.id ?? "");
    const data = await repository.storage.get(name);
    await repository.storage.delete(name);
    const results = async (): Promise<unknown[]> => {
      const { points } = await loadCatalog(repository);
      return [damaged, other].map(({ id }) => points.find((point) => point.id === id)?.proof?.result);
    };
    here.clock.pass(1000);
    const looked = await check({ recordProofs: true, readData: undefined });
    expect(looked.findings[0]?.affected).toMatchObject([{ point: damaged.id }]);
    expect(looked.proofs).toBe(1);
    expect(await results()).toEqual(["failed", "passed"]);
    here.clock.pass(1000);
    for (const group of [1, 2]) {
      expect(await check({ recordProofs: true, readData: { group, of: 2 } })).toMatchObject({ proofs: 0 });
    }
    await repository.storage.put(name, [data]);
    here.clock.pass(1000);
    expect(await check({ recordProofs: true, readData: undefined })).toMatchObject({ findings: [], proofs: 0 });
    expect(await results()).toEqual(["failed", "passed"]);
    await check({ recordProofs: true });
    expect(await results()).toEqual(["passed", "passed"]);
  });

  test("is read in full by all groups together", async () => {
    for (let i = 1; i < 20; i++) await captureTiny(repository, { image: [i, 100 + i] });
    const whole = await check();
    let sum = 0;
    for (let group = 1; group <= 3; group++) sum += (await check({ readData: { group, of: 3 } })).bytesRead;
    expect(sum).toBe(whole.bytesRead);
  });
});

describe("a bad sector", () => {
  test("under any object is a finding, and the check goes on", async () => {
    await fill();
    const orphans = (await BlobStore.load(repository)).orphans.map(({ id }) => packName(id));
    const names = (await namesOf(repository.storage)).filter((name) => !orphans.includes(name));
    const folders = Map.groupBy(names, (name) => name.split("/")[0] ?? "");
    expect([...folders.keys()]).toEqual(
      expect.arrayContaining(["points", "proofs", "tags", "holds", "index", "sweeps"]),
    );
    for (const [folder, [name = ""]] of folders) {
      const { findings } = await check({}, withBadSector(repository, [name]));
      expect({ folder, found: findings.filter(({ object }) => object === name) }).toMatchObject({
        folder,
        found: [{}],
      });
    }
    // What no index names, and nobody needs, is a sweep's matter.
    expect((await check({}, withBadSector(repository, orphans))).findings).toEqual([]);
  });

  test("in a pack costs what lies on it", async () => {
    await captureTiny(repository, { image: [1, 2, 3, 4, 5, 6] });
    const [pack] = await packsOf("data");
    if (pack === undefined) throw new Error("no pack");
    const [first, second] = parseTable(pack);
    if (first === undefined || second === undefined) throw new Error("no blobs");
    const { findings } = await check({}, withBadSector(repository, [packName(pack.id)], second.offset));
    expect(findings).toMatchObject([{ kind: "pack", affected: [{ length: blockLength }] }]);
  });

  test("under many objects at once is a storage that fails", async () => {
    await fill();
    const sick = withBadSector(repository, await namesOf(repository.storage));
    expect(await rejection(check({}, sick))).toMatchObject({ code: "storage_failed" });
  });
});

describe("damage", () => {
  test("of any byte of any object is found", async () => {
    await fill();
    expect((await check()).findings).toEqual([]);
    // Labels and times in keys and format are for people, and vouched for by nothing. What no index names is a sweep's matter.
    const orphans = (await BlobStore.load(repository)).orphans.map(({ id }) => packName(id));
    expect(orphans).toHaveLength(2);
    const names = (await namesOf(repository.storage)).filter(
      (name) => !name.startsWith("keys/") && name !== "format" && !orphans.includes(name),
    );
    const flip = fc.record({ object: fc.nat(), at: fc.nat() });
    await fc.assert(
      fc.asyncProperty(flip, async ({ object, at }) => {
        const name = names[object % names.length] as string;
        const disk = here.disk.copy();
        await alter(disk, name, flipByte(at));
        const { findings } = await check({}, reopen(here, disk).repository);
        expect(findings.map((finding) => finding.object)).toContain(name);
      }),
      { numRuns: 100 },
    );
  });

  test("by cutting off or removing any object that is needed is found", async () => {
    await fill();
    const orphans = (await BlobStore.load(repository)).orphans.map(({ id }) => packName(id));
    const names = (await namesOf(repository.storage)).filter(
      (name) => /^(packs|index|points)\//.test(name) && !orphans.includes(name),
    );
    for (const name of names) {
      const cut = here.disk.copy();
      await alter(cut, name, (data) => data.subarray(0, data.length - 1));
      expect((await check({}, reopen(here, cut).repository)).findings.map(({ object }) => object)).toContain(name);
      const gone = here.disk.copy();
      await gone.unlink(`/repository/${name}`);
      const { findings } = await check({}, reopen(here, gone).repository);
      expect(findings).not.toEqual([]);
    }
  });

  test("of data names the file, the range, and the points", async () => {
    const first = await captureTiny(repository, { files: { a: [1, 2, 3, 4, 5], b: [6] } });
    const second = await captureTiny(
      repository,
      { files: { a: [1, 2, 3, 4, 5], c: [3] }, image: [0, 3] },
      { previous: first },
    );
    const [pack] = await packsOf("data");
    // The blobs lie in the order in which they were added: 1, 2, 3 …
    const at = headerLength + 2 * (512 + 16) + 100;
    await alter(here.disk, packName(pack?.id ?? ""), (data) => flipByte(at + 528)(flipByte(at)(data)));
    const { findings } = await check({ recordProofs: true });
    expect(findings).toHaveLength(1);
    const inA = { path: "data/a", offset: 1024, length: 1024 };
    expect(findings[0]).toMatchObject({ kind: "pack", object: packName(pack?.id ?? "") });
    const expected = [
      { point: first.id, ...inA },
      { point: second.id, ...inA },
      { point: second.id, path: "data/c", offset: 0, length: 512 },
      { point: second.id, path: "image", offset: 512, length: 512 },
    ];
    const sort = (pieces: readonly object[]): string[] => pieces.map((piece) => JSON.stringify(piece)).sort();
    expect(sort(findings[0]?.affected ?? [])).toEqual(sort(expected));
    const { points } = await loadCatalog(repository);
    for (const { proof } of points) expect(proof).toMatchObject({ method: "read-data", result: "failed" });
  });

  test("is told apart by whether only reading shows it", async () => {
    await captureTiny(repository, { image: [1, 2] });
    const [pack] = await packsOf("data");
    const name = packName(pack?.id ?? "");
    const found = async (readData: CheckOptions["readData"]): Promise<number[]> => {
      const { findings, foundByReading } = await check({ readData });
      return [findings.length, foundByReading];
    };
    await alter(here.disk, name, flipByte(headerLength + 5));
    expect([await found(everything), await found(undefined)]).toEqual([
      [1, 1],
      [0, 0],
    ]);
    await repository.storage.delete(name);
    expect([await found(everything), await found(undefined)]).toEqual([
      [1, 0],
      [1, 0],
    ]);
  });

  test("is told also where it can't be recorded with the points", async () => {
    await captureTiny(repository, { image: [1, 2] });
    const [pack] = await packsOf("data");
    await repository.storage.delete(packName(pack?.id ?? ""));
    const full = new StillpointError("storage_full", { what: "the disk is full" });
    const storage = overriding(repository.storage, { put: () => Promise.reject(full) });
    const { findings, proofs } = await check({ recordProofs: true }, { ...repository, storage });
    expect(proofs).toBe(0);
    expect(findings).toMatchObject([
      { kind: "pack" },
      { kind: "object", object: "proofs", message: expect.stringContaining("the disk is full") as string },
    ]);
  });

  test("of a node names everything below it, even without reading data", async () => {
    const point = await captureTiny(repository, {
      image: Array.from({ length: 600 }, (_, i) => (i < 256 ? 0 : 1 + (i % 9))),
    });
    const [pack] = await packsOf("metadata");
    await alter(here.disk, packName(pack?.id ?? ""), flipByte(headerLength + 5));
    const { findings } = await check({ readData: undefined });
    // The first node stored is the one of the second 256 blocks; the first ones are a hole.
    expect(findings).toMatchObject([
      { kind: "blob", affected: [{ point: point.id, path: "image", offset: 256 * 512, length: 256 * 512 }] },
    ]);
  });

  test("costs nothing when another pack has a good copy", async () => {
    await captureTiny(repository, { image: [1, 2, 3] });
    const [pack] = await packsOf("data");
    const before = await BlobStore.load(repository);
    for (const [number] of before.packs.all()) before.condemned.add(number);
    await captureTiny(repository, { image: [1, 2, 3] }, { store: before });
    await alter(here.disk, packName(pack?.id ?? ""), flipByte(100));
    expect((await check()).findings).toMatchObject([{ kind: "pack", affected: [] }]);
    await repository.storage.delete(packName(pack?.id ?? ""));
    expect((await check()).findings).toMatchObject([{ kind: "pack", affected: [] }]);
  });

  test("of a manifest costs its point", async () => {
    const point = await captureTiny(repository, { image: [1, 2] });
    await alter(here.disk, point.name, flipByte(70));
    expect((await check()).findings).toMatchObject([
      { kind: "object", object: point.name, affected: [{ point: point.id, path: "." }] },
    ]);
  });

  test("an index that contradicts a pack's own table is found", async () => {
    await captureTiny(repository, { image: [1, 2] });
    const [pack] = await packsOf("data");
    if (pack === undefined) throw new Error("no pack");
    const table = Buffer.from(pack.table);
    table[3] = (table[3] ?? 0) ^ 1;
    const [before = ""] = await namesOf(repository.storage, "index/");
    await repository.storage.delete(before);
    const lie = sealIndex(repository.keys, [{ ...pack, table }, ...(await packsOf("metadata"))]);
    await repository.storage.put(lie.name, [lie.data]);
    for (const readData of [everything, undefined]) {
      expect((await check({ readData })).findings).toContainEqual(
        expect.objectContaining({ kind: "object", object: lie.name }),
      );
    }
  });
});

describe("a missing point", () => {
  test("is found by the next one, unless it was forgotten, or at a replica", async () => {
    const first = await captureTiny(repository, { image: [1] });
    here.clock.pass(day);
    const second = await captureTiny(repository, { image: [2] }, { previous: first });
    here.clock.pass(day);
    await captureTiny(repository, { image: [3] }, { previous: second });
    const [point] = (await loadCatalog(repository)).points;
    if (point !== undefined) await forgetPoint(repository, point, "test");
    expect((await check()).findings).toEqual([]);
    await repository.storage.delete(second.name);
    expect((await check()).findings).toMatchObject([{ kind: "chain" }]);
    expect((await check()).findings[0]?.message).toContain(second.id);
    expect((await check({ replica: true })).findings).toEqual([]);
  });

  test("is found by the record of a sweep that saw it", async () => {
    const lost = await captureTiny(repository, { image: [1] });
    await captureTiny(repository, { image: [2] }, { source: "other" });
    await sweep(repository, { grace: day, executor: inlineExecutor });
    await repository.storage.delete(lost.name);
    expect((await check()).findings).toMatchObject([{ kind: "chain" }]);
  });
});

describe("while others work", () => {
  test("what a sweep moves and deletes meanwhile isn't damage", async () => {
    for (let i = 0; i < 10; i++) await captureTiny(repository, { image: [2 * i + 1, 2 * i + 2] });
    here.clock.pass(day);
    await sweep(repository, { grace: day, executor: inlineExecutor });
    here.clock.pass(day);
    let deleted = 0;
    const storage = overriding(repository.storage, {
      get: async (name, range, call) => {
        if (name.startsWith("packs/") && deleted === 0) {
          deleted = -1;
          deleted = (await sweep(repository, { grace: day, executor: inlineExecutor })).deleted.packs;
        }
        return await repository.storage.get(name, range, call);
      },
    });
    expect((await check({}, { ...repository, storage })).findings).toEqual([]);
    expect(deleted).toBe(20);
  });

  test("a storage that doesn't answer is an error, not damage", async () => {
    await captureTiny(repository, { image: [1, 2] });
    const probe = new FaultyStorage(repository.storage);
    await check({}, { ...repository, storage: probe });
    for (let nth = 1; nth <= probe.calls.filter((call) => /^(get|list)/.test(call)).length; nth += 3) {
      for (const operation of ["get", "list"] as const) {
        const storage = new FaultyStorage(repository.storage);
        storage.script({ operation, nth, times: 1000, fault: { kind: "fail", code: "storage_unreachable" } });
        const checking = check({}, { ...repository, storage });
        const struck = storage;
        const result = await checking.catch((error: unknown) => error);
        const calls = struck.calls.filter((call) => call.startsWith(operation)).length;
        const failed = isStillpointError(result, "storage_unreachable");
        expect(failed || calls < nth).toBe(true);
      }
    }
    const denied = new FaultyStorage(repository.storage);
    denied.script({ operation: "list", name: /^packs/, fault: { kind: "fail", code: "storage_denied" } });
    expect(await rejection(check({}, { ...repository, storage: denied }))).toMatchObject({ code: "storage_denied" });
  });
});
