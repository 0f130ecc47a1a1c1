import { describe, expect, test } from "vitest";
import { unlessCancelled } from "../../src/host/cancel.ts";
import { type Clock, systemClock } from "../../src/host/clock.ts";
import { ManualClock } from "../helpers/manual-clock.ts";
import { rejection } from "../helpers/rejection.ts";

const clocks: [string, () => Clock][] = [
  ["systemClock", () => systemClock],
  ["ManualClock", () => new ManualClock()],
];

describe.each(clocks)("%s", (_, make) => {
  test("a sleep that is cancelled rejects, before and amid it", async () => {
    const clock = make();
    const controller = new AbortController();
    const sleep = rejection(clock.sleep(1e9, controller.signal));
    controller.abort();
    expect(await sleep).toMatchObject({ code: "cancelled" });
    expect(await rejection(clock.sleep(0, controller.signal))).toMatchObject({ code: "cancelled" });
  });

  test("a sleep of no time ends at once", async () => {
    await expect(make().sleep(0)).resolves.toBeUndefined();
    await expect(make().sleep(-5)).resolves.toBeUndefined();
  });

  test("knows the time", () => {
    const clock = make();
    expect(clock.now()).toBeGreaterThan(Date.UTC(2025, 0, 1));
    const before = clock.monotonic();
    expect(clock.monotonic()).toBeGreaterThanOrEqual(before);
  });
});

test("systemClock can sleep for longer than one of Node's timers", async () => {
  const controller = new AbortController();
  let woken = false;
  const long = systemClock.sleep(2 ** 31 + 5, controller.signal).finally(() => (woken = true));
  const outcome = rejection(long);
  await systemClock.sleep(20);
  expect(woken).toBe(false);
  controller.abort();
  expect(await outcome).toMatchObject({ code: "cancelled" });
});

test("ManualClock wakes sleepers in the order of their time", async () => {
  const clock = new ManualClock(1000);
  const order: string[] = [];
  const sleeper = async (name: string, ms: number): Promise<void> => {
    await clock.sleep(ms);
    order.push(`${name} at ${clock.now()}`);
  };
  const all = [sleeper("late", 30), sleeper("early", 10)];
  await clock.advance(9);
  expect(order).toEqual([]);
  await clock.advance(100);
  await Promise.all(all);
  expect(order).toEqual(["early at 1010", "late at 1030"]);
  expect(clock.monotonic()).toBe(109);
  clock.setNow(5);
  expect([clock.now(), clock.monotonic()]).toEqual([5, 109]);
});

describe("unlessCancelled", () => {
  test("gives the result or the error of the work", async () => {
    const { signal } = new AbortController();
    expect(await unlessCancelled(Promise.resolve(1), signal)).toBe(1);
    expect(await unlessCancelled(Promise.resolve(1), undefined)).toBe(1);
    expect(await rejection(unlessCancelled(Promise.reject(new Error("mine")), signal))).toMatchObject({
      message: "mine",
    });
  });

  test("doesn't wait for work that hangs", async () => {
    const controller = new AbortController();
    const hanging = rejection(unlessCancelled(Promise.withResolvers().promise, controller.signal));
    controller.abort();
    expect(await hanging).toMatchObject({ code: "cancelled" });
  });
});
