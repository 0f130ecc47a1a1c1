import { expect, test } from "vitest";
import { unlessCancelled } from "../../src/host/cancel.ts";
import { Movement, type WorkOptions } from "../../src/host/movement.ts";
import { ManualClock } from "../helpers/manual-clock.ts";
import { rejection } from "../helpers/rejection.ts";

const limit = 60_000;
const never = Promise.withResolvers<never>().promise;
const options: WorkOptions = { stalled: (cause) => Promise.resolve(new Error("it stands still", { cause })) };
const waits = async (signal: AbortSignal): Promise<never> => await unlessCancelled(never, signal);

test("work in which nothing moves is ended after the limit, and not before", async () => {
  const clock = new ManualClock();
  const movement = new Movement(clock, limit);
  let ended = false;
  const failure = rejection(movement.during(options, waits)).finally(() => (ended = true));
  await clock.advance(limit - 1);
  expect(ended).toBe(false);
  await clock.advance(1);
  expect(await failure).toMatchObject({ message: "it stands still", cause: { code: "cancelled" } });
});

test("work goes on for as long as something moves, and stops when that does", async () => {
  const clock = new ManualClock();
  const movement = new Movement(clock, limit);
  const failure = rejection(movement.during(options, waits));
  for (let step = 0; step < 20; step++) {
    await clock.advance(limit - 1);
    movement.moved();
  }
  expect(clock.sleeping).toBe(1);
  await clock.advance(limit);
  expect((await failure).message).toBe("it stands still");
});

test("what was still before the work counts for nothing, and no timer is left behind", async () => {
  const clock = new ManualClock();
  const movement = new Movement(clock, limit);
  await clock.advance(5 * limit);
  expect(await movement.during(options, () => Promise.resolve(7))).toBe(7);
  await expect(movement.during(options, () => Promise.reject(new Error("no")))).rejects.toThrow("no");
  expect(clock.sleeping).toBe(0);
});

test("work that has an end after all when it was told to stop has stalled all the same", async () => {
  const clock = new ManualClock();
  const movement = new Movement(clock, limit);
  const failure = rejection(movement.during(options, async (signal) => await waits(signal).catch(() => 7)));
  await clock.advance(limit);
  expect((await failure).message).toBe("it stands still");
});

test("whoever cancels the work gets that", async () => {
  const controller = new AbortController();
  const movement = new Movement(new ManualClock(), limit);
  const failure = rejection(movement.during({ ...options, signal: controller.signal }, waits));
  controller.abort();
  expect(await failure).toMatchObject({ code: "cancelled" });
});
