/** What every storage owes to its users: one suite that each driver and each wrapper passes. */

import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isStillpointError } from "../../src/errors.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { collect } from "../helpers/collect.ts";
import { rejection } from "../helpers/rejection.ts";

export interface Peculiarities {
  /** Of several that write one name at the same time, the storage tells some to try again. */
  readonly refusesRacers?: boolean;
}

/** Runs the suite on storages made by `make`: each call makes a new, empty one. */
export function storageContract(
  title: string,
  make: () => Promise<Storage>,
  { refusesRacers = false }: Peculiarities = {},
): void {
  describe(`storage contract: ${title}`, () => {
    const put = (storage: Storage, name: string, text = name): Promise<void> => storage.put(name, [Buffer.from(text)]);

    test("what was put is got, as a whole and by ranges", async () => {
      const storage = await make();
      const data = randomBytes(200_000);
      await storage.put("packs/ab/one", [data.subarray(0, 70_001), Buffer.alloc(0), data.subarray(70_001)]);
      expect((await storage.get("packs/ab/one")).equals(data)).toBe(true);
      for (const [offset, length] of [
        [0, 1],
        [70_000, 2],
        [199_999, 1],
        [0, 200_000],
      ] as const) {
        const part = await storage.get("packs/ab/one", { offset, length });
        expect(part.equals(data.subarray(offset, offset + length))).toBe(true);
      }
    });

    test("a range goes into the memory that there is for it, and nothing else does", async () => {
      const storage = await make();
      const data = randomBytes(200_000);
      await storage.put("packs/ab/one", [data]);
      const memory = Buffer.from(new SharedArrayBuffer(150_002)).fill("x");
      const into = memory.subarray(1, -1);
      const got = await storage.get("packs/ab/one", { offset: 30_000, length: into.length }, { into });
      expect([got.buffer, got.byteOffset, got.length]).toEqual([memory.buffer, 1, into.length]);
      expect(into.equals(data.subarray(30_000, 180_000))).toBe(true);
      expect([memory[0], memory.at(-1)]).toEqual([120, 120]);
      const short = { offset: 100_000, length: into.length };
      expect(await rejection(storage.get("packs/ab/one", short, { into }))).toMatchObject({ code: "storage_failed" });
    });

    test("an object may be empty", async () => {
      const storage = await make();
      await storage.put("empty", []);
      expect(await storage.get("empty")).toHaveLength(0);
      expect(await storage.stat("empty")).toMatchObject({ name: "empty", size: 0 });
    });

    test("later changes of the buffers that were given don't reach the object", async () => {
      const storage = await make();
      const data = Buffer.from("before");
      await storage.put("a", [data]);
      data.fill("x");
      expect((await storage.get("a")).toString()).toBe("before");
    });

    test("a range that isn't wholly there fails", async () => {
      const storage = await make();
      await put(storage, "a", "0123456789");
      for (const range of [
        { offset: 5, length: 6 },
        { offset: 10, length: 1 },
        { offset: 1000, length: 1 },
      ]) {
        expect(await rejection(storage.get("a", range))).toMatchObject({ code: "storage_failed" });
      }
    });

    test("put replaces as a whole", async () => {
      const storage = await make();
      await put(storage, "a", "a long first content");
      await put(storage, "a", "second");
      expect((await storage.get("a")).toString()).toBe("second");
      expect(await names(storage, "")).toEqual(["a"]);
    });

    test("what isn't there is object_missing, also where a folder might be", async () => {
      const storage = await make();
      await put(storage, "packs/ab/one");
      for (const name of ["missing", "packs/missing", "packs/ab/one/below", "packs", "packs/ab"]) {
        for (const work of [
          () => storage.get(name),
          () => storage.stat(name),
          () => storage.get(name, { offset: 0, length: 1 }),
        ]) {
          expect(await rejection(work())).toMatchObject({ code: "object_missing" });
        }
      }
    });

    test("stat gives name, size and a time of the store's clock", async () => {
      const storage = await make();
      await put(storage, "points/etc/one", "12345");
      const info = await storage.stat("points/etc/one");
      expect(info).toMatchObject({ name: "points/etc/one", size: 5 });
      expect(Number.isFinite(info.time)).toBe(true);
      expect(await collect(storage.list(""))).toEqual([info]);
    });

    test("a deleted object is gone, and deleting again succeeds", async () => {
      const storage = await make();
      await put(storage, "points/etc/one");
      await put(storage, "points/etc/two");
      await storage.delete("points/etc/one");
      await storage.delete("points/etc/one");
      await storage.delete("never/was/there");
      expect(await rejection(storage.get("points/etc/one"))).toMatchObject({ code: "object_missing" });
      expect(await names(storage, "")).toEqual(["points/etc/two"]);
    });

    test("an empty storage lists as empty, for every prefix", async () => {
      const storage = await make();
      expect(await names(storage, "")).toEqual([]);
      expect(await names(storage, "packs/")).toEqual([]);
      expect(await names(storage, "packs/ab/on")).toEqual([]);
    });

    test("a prefix may end within a segment", async () => {
      const storage = await make();
      const all = ["points/etc/1", "points/etc/2", "points/etc2/1", "points/e", "pointsman", "packs/p"];
      for (const name of all) await put(storage, name);
      for (const prefix of [
        "",
        "p",
        "points",
        "points/",
        "points/e",
        "points/etc",
        "points/etc/",
        "points/etc/1",
        "q",
      ]) {
        expect(await names(storage, prefix)).toEqual(all.filter((name) => name.startsWith(prefix)).sort());
      }
    });

    test("a listing that spans many objects has each exactly once", async () => {
      const storage = await make();
      const all = Array.from({ length: 300 }, (_, n) => `packs/${(n % 7).toString(16)}/${n}`);
      await Promise.all(all.map((name) => put(storage, name)));
      expect(await names(storage, "packs/")).toEqual(all.sort());
    });

    test("a consumer may stop a listing early, and make other calls amid it", async () => {
      const storage = await make();
      for (const name of ["a/1", "a/2", "a/3"]) await put(storage, name);
      for await (const { name } of storage.list("a/")) {
        expect((await storage.get(name)).toString()).toBe(name);
        await storage.delete(name);
        break;
      }
      expect(await names(storage, "a/")).toHaveLength(2);
    });

    test("names that no object may have are refused", async () => {
      const storage = await make();
      for (const name of [
        "",
        "/a",
        "a/",
        "a//b",
        ".",
        "..",
        "a/../b",
        "a/./b",
        "ä",
        "a b",
        "a\0",
        "a\n",
        "tmp",
        "tmp/a",
      ]) {
        for (const work of [
          () => put(storage, name),
          () => storage.get(name),
          () => storage.stat(name),
          () => storage.delete(name),
        ]) {
          expect(isStillpointError(await rejection(work()))).toBe(true);
        }
      }
      for (const prefix of ["/", "../", "a/../", "a//", "*"]) {
        expect(isStillpointError(await rejection(names(storage, prefix)))).toBe(true);
      }
      expect(await names(storage, "")).toEqual([]);
    });

    test("names may hold dots, dashes and underscores, and differ by case", async () => {
      const storage = await make();
      const all = [".a", "..b", "...", "-", "_", "A", "a", "2026-01-01T00.00.00Z-x_y", "tmp2", "a.tmp"].sort();
      for (const name of all) await put(storage, name);
      expect(await names(storage, "")).toEqual(all);
      for (const name of all) expect((await storage.get(name)).toString()).toBe(name);
    });

    test("an aborted signal cancels every call", async () => {
      const storage = await make();
      await put(storage, "a");
      const signal = AbortSignal.abort();
      for (const work of [
        () => storage.put("b", [], { signal }),
        () => storage.get("a", undefined, { signal }),
        () => storage.stat("a", { signal }),
        () => storage.delete("a", { signal }),
        () => collect(storage.list("", { signal })),
      ]) {
        expect(await rejection(work())).toMatchObject({ code: "cancelled" });
      }
      expect((await storage.get("a")).toString()).toBe("a");
    });

    test("writers of one name at the same time leave one of their objects whole", async () => {
      const storage = await make();
      const contents = Array.from({ length: 8 }, (_, n) => Buffer.alloc(20_000 + n, n));
      const puts = await Promise.allSettled(contents.map((content) => storage.put("contended/a", [content])));
      const refusals = puts.flatMap((each) => (each.status === "rejected" ? [each.reason as unknown] : []));
      expect(refusals.slice(refusesRacers ? contents.length - 1 : 0)).toEqual([]);
      for (const refusal of refusals) expect(refusal).toMatchObject({ code: "storage_failed", retryable: true });
      const winner = await storage.get("contended/a");
      expect(contents.some((content) => content.equals(winner))).toBe(true);
      expect(await names(storage, "")).toEqual(["contended/a"]);
    });

    test("any sequence of calls does what a map would do", async () => {
      const name = fc.constantFrom("a", "b/c", "b/d", "b/e/f");
      const step = fc.oneof(
        fc.record({ kind: fc.constant("put" as const), name, data: fc.uint8Array({ maxLength: 40 }) }),
        fc.record({ kind: fc.constant("delete" as const), name }),
      );
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
          const storage = await make();
          const model = new Map<string, Uint8Array>();
          for (const call of steps) {
            if (call.kind === "put") {
              await storage.put(call.name, [call.data]);
              model.set(call.name, call.data);
            } else {
              await storage.delete(call.name);
              model.delete(call.name);
            }
          }
          expect(await names(storage, "")).toEqual([...model.keys()].sort());
          for (const [key, data] of model) expect((await storage.get(key)).equals(data)).toBe(true);
        }),
        { numRuns: 20 },
      );
    });
  });
}

async function names(storage: Storage, prefix: string): Promise<string[]> {
  const infos = await collect(storage.list(prefix));
  return infos.map(({ name }) => name).sort();
}
