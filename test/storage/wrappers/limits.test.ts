import { describe, expect, test } from "vitest";
import { BandwidthMeter } from "../../../src/storage/bandwidth-meter.ts";
import { withBandwidthLimit } from "../../../src/storage/wrappers/limit-bandwidth.ts";
import { withConcurrencyLimit } from "../../../src/storage/wrappers/limit-concurrency.ts";
import { type StorageCall, withObserver } from "../../../src/storage/wrappers/observe.ts";
import { collect } from "../../helpers/collect.ts";
import { ManualClock } from "../../helpers/manual-clock.ts";
import { faultyStorage } from "../../helpers/memory-storage.ts";
import { rejection } from "../../helpers/rejection.ts";

describe("withConcurrencyLimit", () => {
  async function setUp(limit: number) {
    const clock = new ManualClock();
    const faulty = await faultyStorage(clock);
    for (const name of ["a", "b", "c", "d", "e"]) await faulty.put(name, [Buffer.from(name)]);
    faulty.calls.length = 0;
    return { clock, faulty, storage: withConcurrencyLimit(faulty, limit) };
  }

  test("no more calls than the limit are at work at once, first come, first served", async () => {
    const { clock, faulty, storage } = await setUp(2);
    faulty.script({ operation: "get", fault: { kind: "slow", ms: 10 }, times: 5 });
    const all = ["a", "b", "c", "d", "e"].map((name) => storage.get(name));
    await clock.advance(0);
    expect(faulty.calls).toEqual(["get a", "get b"]);
    await clock.advance(10);
    expect(faulty.calls).toEqual(["get a", "get b", "get c", "get d"]);
    await clock.runAll();
    expect((await Promise.all(all)).map(String)).toEqual(["a", "b", "c", "d", "e"]);
  });

  test("a call that failed gives its turn back", async () => {
    const { faulty, storage } = await setUp(1);
    faulty.script({ operation: "get", fault: { kind: "fail", code: "storage_failed" }, times: 2 });
    for (let n = 0; n < 2; n++) await rejection(storage.get("a"));
    expect((await storage.get("a")).toString()).toBe("a");
  });

  test("a call that is cancelled while it waits takes no turn", async () => {
    const { clock, faulty, storage } = await setUp(1);
    faulty.script({ operation: "get", fault: { kind: "slow", ms: 10 } });
    const controller = new AbortController();
    const first = storage.get("a");
    const second = rejection(storage.get("b", undefined, { signal: controller.signal }));
    const third = storage.get("c");
    controller.abort();
    expect(await second).toMatchObject({ code: "cancelled" });
    await clock.runAll();
    expect((await Promise.all([first, third])).map(String)).toEqual(["a", "c"]);
    expect(faulty.calls).toEqual(["get a", "get c"]);
  });

  test("a listing that its consumer leaves is ended below, too", async () => {
    const { clock, faulty } = await setUp(1);
    const seen: StorageCall[] = [];
    const storage = withConcurrencyLimit(
      withObserver(faulty, (call) => seen.push(call), clock),
      1,
    );
    for await (const info of storage.list("")) {
      expect(info.name).toBe("a");
      break;
    }
    expect(seen).toMatchObject([{ operation: "list" }]);
  });

  test("a listing that its consumer leaves or breaks gives its turn back", async () => {
    const { faulty, storage } = await setUp(1);
    for await (const info of storage.list("")) {
      expect((await storage.get(info.name)).toString()).toBe(info.name);
      break;
    }
    faulty.script({ operation: "list", fault: { kind: "break", after: 1, code: "storage_failed" } });
    await rejection(collect(storage.list("")));
    expect(await collect(storage.list(""))).toHaveLength(5);
  });
});

describe("withBandwidthLimit", () => {
  const second = 1000;

  async function setUp() {
    const clock = new ManualClock();
    const faulty = await faultyStorage(clock);
    const line = { rate: 100 as number | undefined };
    const meter = new BandwidthMeter({ clock, rate: () => line.rate });
    await clock.advance(1000 * second);
    return { clock, faulty, line, meter, storage: withBandwidthLimit(faulty, meter) };
  }

  test("a burst of one second is free, then the rate holds", async () => {
    const { clock, faulty, storage } = await setUp();
    await storage.put("free", [Buffer.alloc(60), Buffer.alloc(40)]);
    const later = [storage.put("b", [Buffer.alloc(50)]), storage.put("c", [Buffer.alloc(100)])];
    await clock.advance(0.5 * second - 1);
    expect(faulty.calls).toEqual(["put free"]);
    await clock.advance(1);
    expect(faulty.calls).toEqual(["put free", "put b"]);
    await clock.advance(second);
    expect(faulty.calls).toEqual(["put free", "put b", "put c"]);
    await Promise.all(later);
  });

  test("an object larger than the burst waits for what it costs, and idle time isn't saved up", async () => {
    const { clock, storage } = await setUp();
    const start = clock.now();
    await clock.runUntil(storage.put("large", [Buffer.alloc(1100)]));
    expect(clock.now() - start).toBe(10 * second);
  });

  test("gets count as well, with a range and without", async () => {
    const { clock, faulty, storage } = await setUp();
    await faulty.put("a", [Buffer.alloc(150)]);
    expect(await clock.runUntil(storage.get("a", { offset: 0, length: 100 }))).toHaveLength(100);
    expect(clock.slept).toEqual([]);
    expect(await clock.runUntil(storage.get("a"))).toHaveLength(150);
    expect(clock.slept).toEqual([1.5 * second]);
  });

  test("cancelling ends the wait and gives the bytes back", async () => {
    const { clock, faulty, storage } = await setUp();
    await storage.put("free", [Buffer.alloc(100)]);
    const controller = new AbortController();
    const outcome = rejection(storage.put("big", [Buffer.alloc(10_000)], { signal: controller.signal }));
    await clock.advance(0);
    controller.abort();
    expect(await outcome).toMatchObject({ code: "cancelled" });
    const next = storage.put("next", [Buffer.alloc(100)]);
    await clock.advance(second);
    await next;
    expect(faulty.calls).toEqual(["put free", "put next"]);
  });

  test("what waits under one rate goes on under the next, and none at all sets it free", async () => {
    const { clock, faulty, line, storage } = await setUp();
    await storage.put("free", [Buffer.alloc(100)]);
    // At the first rate this would take an hour.
    const long = storage.put("long", [Buffer.alloc(360_000)]);
    await clock.advance(10 * second);
    line.rate = 36_000;
    await clock.advance(9 * second);
    expect(faulty.calls).toEqual(["put free"]);
    await clock.advance(3 * second);
    expect(faulty.calls).toEqual(["put free", "put long"]);
    line.rate = 100;
    const next = storage.put("next", [Buffer.alloc(1_000_000)]);
    await clock.advance(second);
    line.rate = undefined;
    await clock.advance(2 * second);
    line.rate = 100;
    await clock.advance(second);
    await storage.put("after", [Buffer.alloc(100)]);
    expect(faulty.calls).toEqual(["put free", "put long", "put next", "put after"]);
    await Promise.all([long, next]);
  });

  test("many that use one line keep to its rate together", async () => {
    const { clock, meter } = await setUp();
    const start = clock.now();
    const ends: number[] = [];
    const all = Array.from({ length: 8 }, async () => {
      for (let piece = 0; piece < 25; piece++) await meter.take(7);
      ends.push(clock.now() - start);
    });
    await clock.runUntil(Promise.all(all));
    // 1,400 bytes, of which the first 100 were free.
    expect(Math.max(...ends)).toBeGreaterThanOrEqual(13 * second);
    expect(Math.max(...ends)).toBeLessThan(13.2 * second);
  });
});
