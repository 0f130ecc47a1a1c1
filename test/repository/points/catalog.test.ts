import { beforeEach, describe, expect, test } from "vitest";
import {
  type Catalog,
  type CatalogPoint,
  commitPoint,
  findPoint,
  forEachAtOnce,
  forgetPoint,
  loadCatalog,
  newestProof,
  vanishedPoints,
} from "../../../src/repository/points/catalog.ts";
import { CatalogMemory, type MemoryFile } from "../../../src/repository/points/catalog-memory.ts";
import { checkRepository } from "../../../src/repository/check/check.ts";
import { inlineExecutor } from "../../../src/repository/threads/executor.ts";
import type { Manifest } from "../../../src/repository/points/manifest.ts";
import { requireRead } from "../../../src/repository/points/unreadable.ts";
import { createRepository, type Repository } from "../../../src/repository/repository.ts";
import { putSmallObject } from "../../../src/repository/points/small-objects.ts";
import { emptyManifest } from "../../helpers/commit-empty.ts";
import type { FaultyStorage } from "../../helpers/faulty-storage.ts";
import { ManualClock } from "../../helpers/manual-clock.ts";
import { faultyStorage } from "../../helpers/memory-storage.ts";
import { rejection } from "../../helpers/rejection.ts";

const clock = new ManualClock();
let storage: FaultyStorage;
let repository: Repository;

class KeptInMemory implements MemoryFile {
  data: Buffer | undefined;
  read(): Promise<Buffer | undefined> {
    return Promise.resolve(this.data);
  }
  write(data: Buffer): Promise<void> {
    this.data = data;
    return Promise.resolve();
  }
}

function manifest(source: string, minute: number): Manifest {
  return { ...emptyManifest(repository, { source, time: Date.UTC(2026, 0, 1, 0, minute) }), tags: ["first"] };
}

function ids(catalog: Catalog): string[] {
  return catalog.points.map(({ id }) => id);
}

function reads(): number {
  return storage.calls.filter((call) => /^get (points|tags|proofs)/.test(call)).length;
}

beforeEach(async () => {
  storage = await faultyStorage();
  const key = { type: "key-file", secret: Buffer.alloc(32, 4) } as const;
  repository = await createRepository({ storage, clock, key, label: "test" });
});

describe("loadCatalog", () => {
  test("lists points by the instant captured, with the newest of what was said of them", async () => {
    const later = await commitPoint(repository, manifest("b", 7));
    const earlier = await commitPoint(repository, manifest("a", 3));
    for (const [second, tag] of ["old", "new"].entries()) {
      const time = new Date(Date.UTC(2026, 0, 2, 0, 0, second)).toISOString();
      await putSmallObject(repository, "tags", { version: 1, point: later.id, time, tags: [tag] });
    }
    const time = new Date(clock.now()).toISOString();
    await putSmallObject(repository, "holds", { version: 1, point: later.id, time, reason: "audit" });
    const { points } = await loadCatalog(repository);
    expect(points.map(({ id, tags, hold }) => [id, tags, hold?.reason])).toEqual([
      [earlier.id, ["first"], undefined],
      [later.id, ["new"], "audit"],
    ]);
  });

  test("a manifest under another point's name, or of another time, isn't a point", async () => {
    const point = await commitPoint(repository, manifest("a", 1));
    const other = await commitPoint(repository, manifest("a", 2));
    const data = await storage.get(point.name);
    await storage.put(other.name, [data]);
    await storage.put(point.name.replace("20260101", "20270101"), [data]);
    const { points, damaged } = await loadCatalog(repository);
    expect(points.map(({ id }) => id)).toEqual([point.id]);
    expect(damaged.map(({ error }) => error.code)).toEqual(["damaged", "damaged"]);
  });

  test("an old tag object in the place of a newer one is noticed", async () => {
    const point = await commitPoint(repository, manifest("a", 1));
    const time = new Date(clock.now()).toISOString();
    const name = await putSmallObject(repository, "tags", { version: 1, point: point.id, time, tags: ["old"] });
    await storage.put(`tags/${point.id}/20990101T000000000Z-0000000000000000`, [await storage.get(name)]);
    expect((await loadCatalog(repository)).damaged).toHaveLength(1);
  });

  test("where the newest tags or proof are damaged, those before them count", async () => {
    const point = await commitPoint(repository, manifest("a", 1));
    const damage = async (name: string): Promise<void> =>
      await storage.put(name, [(await storage.get(name)).fill(0, 60, 64)]);
    for (const second of [0, 1, 2]) {
      const time = new Date(Date.UTC(2026, 0, 2, 0, 0, second)).toISOString();
      const tags = [`tag ${String(second)}`];
      const tag = await putSmallObject(repository, "tags", { version: 1, point: point.id, time, tags });
      const proof = await putSmallObject(repository, "proofs", {
        version: 1,
        point: point.id,
        time,
        method: "restore",
        result: "passed",
        seconds: 1,
        detail: "",
      });
      if (second > 0) for (const name of [tag, proof]) await damage(name);
    }
    const { points, damaged } = await loadCatalog(repository);
    expect(points).toMatchObject([{ tags: ["tag 0"], proof: { time: "2026-01-02T00:00:00.000Z" } }]);
    expect(damaged).toHaveLength(4);
  });

  test("reports what lies on a bad sector; and throws when the storage fails, rather than showing less", async () => {
    for (let minute = 0; minute < 4; minute++) await commitPoint(repository, manifest("a", minute));
    const all = await loadCatalog(repository);
    const [name = ""] = all.points.map((point) => point.name);
    const fails = { operation: "get", fault: { kind: "fail", code: "storage_failed" } } as const;
    storage.script({ ...fails, name: new RegExp(name) });
    const { points, damaged } = await loadCatalog(repository);
    expect(points).toEqual(all.points.slice(1));
    expect(damaged).toMatchObject([{ name, error: { code: "storage_failed" } }]);
    expect(() => requireRead({ damaged })).toThrow(damaged[0]?.error);
    storage.script({ ...fails, name: /^points/, times: 4 });
    expect(await rejection(loadCatalog(repository))).toMatchObject({ code: "storage_failed" });
    storage.script({ ...fails, name: /^points/, fault: { kind: "fail", code: "storage_denied" } });
    expect(await rejection(loadCatalog(repository))).toMatchObject({ code: "storage_denied" });
  });

  test("a proof that can't be read counts neither as passed nor as none", async () => {
    const { id: point } = await commitPoint(repository, manifest("a", 1));
    const proof = { version: 1, point, method: "read-data", seconds: 1, detail: "" } as const;
    await putSmallObject(repository, "proofs", { ...proof, time: "2026-01-01T01:00:00.000Z", result: "passed" });
    await putSmallObject(repository, "proofs", { ...proof, time: "2026-01-01T02:00:00.000Z", result: "failed" });
    expect(await newestProof(repository, point)).toMatchObject({ result: "failed" });
    storage.script({ operation: "get", name: /^proofs/, fault: { kind: "fail", code: "storage_failed" } });
    expect(await newestProof(repository, point)).toBe("unread");
  });
});

describe("the memory of a catalog", () => {
  test("saves reading again, and forgets what is gone", async () => {
    const file = new KeptInMemory();
    const remembering = (): Repository => ({ ...repository, memory: new CatalogMemory(file, repository.keys) });
    for (let minute = 0; minute < 5; minute++) await commitPoint(repository, manifest("a", minute));
    const first = await loadCatalog(remembering());
    const before = reads();
    const again = await loadCatalog(remembering());
    expect(again).toEqual(first);
    expect(reads()).toBe(before);

    const [gone] = again.points;
    if (gone !== undefined) await forgetPoint(repository, gone, "test");
    const added = await commitPoint(repository, manifest("a", 9));
    expect(ids(await loadCatalog(remembering()))).toEqual([...ids(again).slice(1), added.id]);
    expect(reads()).toBe(before + 1);
  });

  test("a hold set after the catalog was loaded, or damaged, still holds", async () => {
    const point = await commitPoint(repository, manifest("a", 1));
    const time = "2026-01-02T00:00:00.000Z";
    const before = (await loadCatalog(repository)).points[0] as CatalogPoint;
    await putSmallObject(repository, "holds", { version: 1, point: point.id, time, reason: "audit" });
    expect(await rejection(forgetPoint(repository, before, "by hand"))).toMatchObject({ code: "usage" });
    const damaged = (await storage.get(`holds/${point.id}`)).fill(0, 60, 64);
    await storage.put(`holds/${point.id}`, [damaged]);
    const after = (await loadCatalog(repository)).points[0] as CatalogPoint;
    expect(after.hold).toBeUndefined();
    expect(await rejection(forgetPoint(repository, after, "by hand"))).toMatchObject({ code: "usage" });
    expect(ids(await loadCatalog(repository))).toEqual([point.id]);
  });

  test("tells of a point that was taken away, until it is back or its loss is accepted", async () => {
    const file = new KeptInMemory();
    const remembering = (): Repository => ({ ...repository, memory: new CatalogMemory(file, repository.keys) });
    const missing = async (): Promise<(string | undefined)[]> => {
      const { findings } = await checkRepository(remembering(), { executor: inlineExecutor });
      return findings.map((finding) => finding.missing);
    };
    await commitPoint(repository, manifest("a", 1));
    const newest = await commitPoint(repository, manifest("b", 2));
    await loadCatalog(remembering());
    expect(await missing()).toEqual([]);

    const data = await storage.get(newest.name);
    await storage.delete(newest.name);
    for (let look = 0; look < 2; look++) {
      await loadCatalog(remembering());
      expect(await missing()).toEqual([newest.id]);
    }
    await storage.put(newest.name, [data]);
    expect(await missing()).toEqual([]);
    await storage.delete(newest.name);
    await new CatalogMemory(file, repository.keys).accept(new Set([newest.id]));
    expect(await missing()).toEqual([]);
  });

  test("a point that is committed and remembered while a check lists others isn't missing", async () => {
    const memory = new CatalogMemory(new KeptInMemory(), repository.keys);
    await loadCatalog({ ...repository, memory });
    const point = await commitPoint(repository, manifest("a", 1));
    memory.addPoint(point);
    expect(await vanishedPoints({ ...repository, memory }, new Set())).toEqual([]);
    await storage.delete(point.name);
    expect(await vanishedPoints({ ...repository, memory }, new Set())).toEqual([point]);
  });

  test("of who was away for longer than records of forgetting last tells of no theft, but of one that was told before", async () => {
    const file = new KeptInMemory();
    const vanished = async (): Promise<string[]> => {
      const memory = new CatalogMemory(file, repository.keys);
      return (await loadCatalog({ ...repository, memory })).vanished.map(({ id }) => id);
    };
    const [stolen, forgotten, third] = await Promise.all(
      [1, 2, 3].map(async (minute) => await commitPoint(repository, manifest("a", minute))),
    );
    expect(await vanished()).toEqual([]);
    await storage.delete(stolen?.name ?? "");
    await clock.advance(94 * 3_600_000);
    expect(await vanished()).toEqual([stolen?.id]);
    // Forgotten by another machine, of which a sweep has removed the record since.
    await storage.delete(forgotten?.name ?? "");
    await clock.advance(96 * 3_600_000);
    expect(await vanished()).toEqual([stolen?.id]);
    // What is seen daily is known for as long as it is.
    for (let day = 0; day < 6; day++) {
      await clock.advance(24 * 3_600_000);
      expect(await vanished()).toEqual([stolen?.id]);
    }
    await storage.delete(third?.name ?? "");
    expect(new Set(await vanished())).toEqual(new Set([stolen?.id, third?.id]));
  });

  test("sees a hold released and set again", async () => {
    const file = new KeptInMemory();
    const point = await commitPoint(repository, manifest("a", 1));
    for (const reason of ["one", "two"]) {
      const time = new Date(clock.now()).toISOString();
      await putSmallObject(repository, "holds", { version: 1, point: point.id, time, reason });
      const memory = new CatalogMemory(file, repository.keys);
      expect((await loadCatalog({ ...repository, memory })).points[0]?.hold?.reason).toBe(reason);
    }
  });

  test("of more than one string can hold is left out, and the points are listed all the same", async () => {
    const file = new KeptInMemory();
    const point = await commitPoint(repository, manifest("a", 1));
    const memory = new CatalogMemory(file, repository.keys);
    // As V8 says it of a text beyond half a GiB.
    const endless = {
      toJSON: () => {
        throw new RangeError("Invalid string length");
      },
    };
    memory.addPoint({ ...point, manifest: endless as unknown as Manifest });
    expect(ids(await loadCatalog({ ...repository, memory }))).toEqual([point.id]);
    expect(file.data).toBeUndefined();
  });

  test.each([
    ["damaged", (data: Buffer) => data.fill(0, 100, 101)],
    ["cut off", (data: Buffer) => data.subarray(0, 60)],
    ["nothing of ours", () => Buffer.from("{}")],
  ])("that is %s counts as none", async (_, change) => {
    const file = new KeptInMemory();
    await commitPoint(repository, manifest("a", 1));
    const first = await loadCatalog({ ...repository, memory: new CatalogMemory(file, repository.keys) });
    file.data = change(Buffer.from(file.data ?? []));
    expect(await loadCatalog({ ...repository, memory: new CatalogMemory(file, repository.keys) })).toEqual(first);
  });
});

test("forEachAtOnce begins nothing more after the first error, and waits for what is under way", async () => {
  const begun: number[] = [];
  const over: number[] = [];
  const { promise, resolve } = Promise.withResolvers<undefined>();
  const work = async (item: number): Promise<void> => {
    begun.push(item);
    if (item === 2) {
      setImmediate(() => resolve(undefined));
      throw new Error("the second");
    }
    await promise;
    over.push(item);
    if (item === 3) throw new Error("the third");
  };
  const error = await forEachAtOnce([1, 2, 3, 4, 5], 3, work).catch((thrown: unknown) => thrown);
  expect(error).toEqual(new Error("the second"));
  expect([begun, over]).toEqual([
    [1, 2, 3],
    [1, 3],
  ]);
});

test("findPoint takes a unique beginning of an id", () => {
  const points = ["aaaa1111", "aaaa2222", "bbbb0000"].map((id) => ({ id: id.padEnd(32, "0") }));
  expect(findPoint(points, "bbbb")).toBe(points[2]);
  expect(() => findPoint(points, "aaaa")).toThrow(/2 recovery points/);
  expect(() => findPoint(points, "cccc")).toThrow(/No recovery point/);
  for (const wrong of ["aaa", "xyz1", "aaaa/", ""]) expect(() => findPoint(points, wrong)).toThrow(/isn't the id/);
});
