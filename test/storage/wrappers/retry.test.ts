import { describe, expect, test } from "vitest";
import { errorTable, type ErrorCode } from "../../../src/errors.ts";
import type { Random } from "../../../src/host/random.ts";
import { withRetry } from "../../../src/storage/wrappers/retry.ts";
import { collect } from "../../helpers/collect.ts";
import type { Fault, StorageOperation } from "../../helpers/faulty-storage.ts";
import { ManualClock } from "../../helpers/manual-clock.ts";
import { faultyStorage } from "../../helpers/memory-storage.ts";
import { rejection } from "../../helpers/rejection.ts";

/** Always the longest wait that jitter allows. */
const unlucky: Random = { fraction: () => 1, bytes: (length) => Buffer.alloc(length) };

async function setUp(options = {}) {
  const clock = new ManualClock();
  const faulty = await faultyStorage(clock);
  const storage = withRetry(faulty, {
    clock,
    random: unlucky,
    attempts: 4,
    firstDelay: 100,
    longestDelay: 300,
    ...options,
  });
  for (const name of ["a/1", "a/2", "a/3"]) await faulty.put(name, [Buffer.from(name)]);
  faulty.calls.length = 0;
  const finish = <T>(work: Promise<T>): Promise<T> => clock.runUntil(work);
  return { clock, faulty, storage, finish };
}

const unreachable: Fault = { kind: "fail", code: "storage_unreachable" };

describe("withRetry", () => {
  const operations: StorageOperation[] = ["put", "get", "stat", "delete", "list"];

  test.each(operations)("a %s that fails for a while succeeds", async (operation) => {
    const { clock, faulty, storage, finish } = await setUp();
    faulty.script({ operation, fault: unreachable, times: 3 });
    const calls: Record<StorageOperation, () => Promise<unknown>> = {
      put: () => storage.put("b", [Buffer.from("b")]),
      get: () => storage.get("a/1"),
      stat: () => storage.stat("a/1"),
      delete: () => storage.delete("a/1"),
      list: () => collect(storage.list("a/")),
    };
    await finish(calls[operation]());
    expect(faulty.calls).toHaveLength(4);
    // It doubles up to the longest.
    expect(clock.slept).toEqual([100, 200, 300]);
  });

  test("gives up after the last attempt, with the last error", async () => {
    const { faulty, storage, finish } = await setUp();
    faulty.script({ operation: "get", fault: { kind: "fail", code: "storage_failed" } });
    faulty.script({ operation: "get", fault: unreachable, nth: 2, times: 100 });
    expect(await rejection(finish(storage.get("a/1")))).toMatchObject({ code: "storage_unreachable" });
    expect(faulty.calls).toHaveLength(4);
  });

  test("tries again exactly what the error table calls retryable, and never what was cancelled", async () => {
    const codes = Object.keys(errorTable) as ErrorCode[];
    for (const code of codes) {
      const { faulty, storage, finish } = await setUp();
      faulty.script({ operation: "stat", fault: { kind: "fail", code } });
      await finish(storage.stat("a/1")).catch(() => undefined);
      expect([code, faulty.calls.length]).toEqual([code, errorTable[code].retryable && code !== "cancelled" ? 2 : 1]);
    }
  });

  test("a defect isn't retried", async () => {
    const { faulty, storage } = await setUp();
    faulty.script({
      operation: "get",
      fault: {
        kind: "alter",
        alter: () => {
          throw new TypeError("a defect");
        },
      },
    });
    expect(await rejection(storage.get("a/1"))).toBeInstanceOf(TypeError);
    expect(faulty.calls).toHaveLength(1);
  });

  test("a put whose answer was lost is simply repeated", async () => {
    const { faulty, storage, finish } = await setUp();
    faulty.script({ operation: "put", fault: { kind: "fail", code: "storage_failed", done: true } });
    await finish(storage.put("b", [Buffer.from("b")]));
    expect((await storage.get("b")).toString()).toBe("b");
  });

  test("a torn put is replaced", async () => {
    const { faulty, storage, finish } = await setUp();
    faulty.script({ operation: "put", fault: { kind: "tear" } });
    await finish(storage.put("b", [Buffer.from("whole")]));
    expect((await storage.get("b")).toString()).toBe("whole");
  });

  test("a listing that broke begins anew, and yields nothing twice", async () => {
    const { faulty, storage, finish } = await setUp();
    faulty.script({ operation: "list", fault: { kind: "break", after: 2, code: "storage_failed" } });
    faulty.script({ operation: "list", fault: { kind: "break", after: 1, code: "storage_failed" }, nth: 2 });
    const names = (await finish(collect(storage.list("a/")))).map(({ name }) => name);
    expect(names.sort()).toEqual(["a/1", "a/2", "a/3"]);
    expect(faulty.calls).toHaveLength(3);
  });

  test("a listing that keeps breaking fails, it doesn't end", async () => {
    const { faulty, storage, finish } = await setUp();
    faulty.script({ operation: "list", fault: { kind: "break", after: 3, code: "storage_failed" }, times: 4 });
    expect(await rejection(finish(collect(storage.list("a/"))))).toMatchObject({ code: "storage_failed" });
  });

  test("cancelling ends the wait", async () => {
    const { clock, faulty, storage } = await setUp();
    faulty.script({ operation: "get", fault: unreachable, times: 4 });
    const controller = new AbortController();
    const outcome = rejection(storage.get("a/1", undefined, { signal: controller.signal }));
    await clock.advance(0);
    expect(clock.sleeping).toBe(1);
    controller.abort();
    expect(await outcome).toMatchObject({ code: "cancelled" });
    expect(faulty.calls).toHaveLength(1);
  });

  test("the wait is spread evenly up to its bound", async () => {
    const { clock, faulty, storage, finish } = await setUp({ random: { ...unlucky, fraction: () => 0.25 } });
    faulty.script({ operation: "get", fault: unreachable, times: 2 });
    await finish(storage.get("a/1"));
    expect(clock.slept).toEqual([25, 50]);
  });
});
