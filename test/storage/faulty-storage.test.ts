import { describe, expect, test } from "vitest";
import { collect } from "../helpers/collect.ts";
import { cutOff, endEarly, FaultyStorage, flipBit, staleAs } from "../helpers/faulty-storage.ts";
import { ManualClock } from "../helpers/manual-clock.ts";
import { memoryStorage } from "../helpers/memory-storage.ts";
import { rejection } from "../helpers/rejection.ts";

async function setUp() {
  const inner = await memoryStorage();
  const clock = new ManualClock();
  const storage = new FaultyStorage(inner, clock);
  for (const name of ["a", "b", "c"]) await storage.put(name, [Buffer.from(`content of ${name}`)]);
  return { inner, clock, storage, names: async () => (await collect(storage.list(""))).map(({ name }) => name).sort() };
}

describe("FaultyStorage", () => {
  test("strikes the nth call that matches, as often as told, and no other", async () => {
    const { storage } = await setUp();
    const fault = { kind: "fail", code: "storage_failed" } as const;
    storage.script({ operation: "get", fault, nth: 2, times: 2, name: /[ab]/ });
    const outcomes: string[] = [];
    for (const name of ["a", "c", "b", "c", "a", "b"]) {
      const outcome = await storage.get(name).then(String, () => "failed");
      outcomes.push(outcome);
    }
    const ok = (name: string): string => `content of ${name}`;
    expect(outcomes).toEqual([ok("a"), ok("c"), "failed", ok("c"), "failed", ok("b")]);
    expect(storage.calls.slice(3)).toEqual(["get a", "get c", "get b", "get c", "get a", "get b"]);
  });

  test("fails before or after the call was carried out", async () => {
    const { inner, storage } = await setUp();
    storage.script({ operation: "delete", fault: { kind: "fail", code: "storage_failed" } });
    storage.script({ operation: "delete", fault: { kind: "fail", code: "storage_failed", done: true }, nth: 2 });
    expect(await rejection(storage.delete("a"))).toMatchObject({ code: "storage_failed" });
    expect(await inner.stat("a")).toBeDefined();
    expect(await rejection(storage.delete("a"))).toMatchObject({ code: "storage_failed" });
    expect(await rejection(inner.stat("a"))).toMatchObject({ code: "object_missing" });
  });

  test("tears a put, and loses one that it acknowledges", async () => {
    const { inner, storage } = await setUp();
    storage.script({ operation: "put", fault: { kind: "tear" } });
    storage.script({ operation: "put", fault: { kind: "lose" }, nth: 2 });
    await rejection(storage.put("torn", [Buffer.from("0123456789")]));
    expect((await inner.get("torn")).toString()).toBe("01234");
    await storage.put("lost", [Buffer.from("0123456789")]);
    expect(await rejection(inner.get("lost"))).toMatchObject({ code: "object_missing" });
  });

  test("is slow by its clock", async () => {
    const { clock, storage } = await setUp();
    storage.script({ operation: "stat", fault: { kind: "slow", ms: 7000 } });
    expect(await clock.runUntil(storage.stat("a"))).toMatchObject({ name: "a" });
    expect(clock.slept).toEqual([7000]);
  });

  test("returns flipped or truncated bytes, and leaves those that are stored", async () => {
    const { inner, storage } = await setUp();
    storage.script({ operation: "get", fault: flipBit(9) });
    storage.script({ operation: "get", fault: cutOff(3), nth: 2 });
    expect((await storage.get("a")).toString()).toBe("cmntent of a");
    expect((await storage.get("a")).toString()).toBe("con");
    expect((await inner.get("a")).toString()).toBe("content of a");
  });

  test("lists partly or what was there once, in silence", async () => {
    const { inner, storage, names } = await setUp();
    storage.script({ operation: "list", fault: endEarly(2) });
    storage.script({ operation: "list", fault: staleAs(await collect(inner.list("a"))), nth: 2 });
    expect(await names()).toHaveLength(2);
    expect(await names()).toEqual(["a"]);
    expect(await names()).toEqual(["a", "b", "c"]);
  });
});
