import { expect, it } from "vitest";
import { unlessCancelled } from "../../src/host/cancel.ts";
import { withinTime } from "../../src/job/within-time.ts";
import { ManualClock } from "../helpers/manual-clock.ts";
import { rejection } from "../helpers/rejection.ts";

const never = Promise.withResolvers<never>().promise;

it("gives up what doesn't answer, and says who", async () => {
  const clock = new ManualClock();
  const limit = { clock, limit: 60_000, location: "far" };
  const waiting = rejection(withinTime(limit, async (signal) => await unlessCancelled(never, signal)));
  await clock.advance(60_000);
  const error = await waiting;
  expect(error).toMatchObject({ code: "storage_unreachable" });
  expect(String(error)).toContain("far has not answered for 60 s");
});

it("hands on results and errors, and leaves no timer behind", async () => {
  const clock = new ManualClock();
  const limit = { clock, limit: 60_000, location: "far" };
  expect(await withinTime(limit, () => Promise.resolve(7))).toBe(7);
  await expect(withinTime(limit, () => Promise.reject(new Error("no")))).rejects.toThrow("no");
  expect(clock.sleeping).toBe(0);
});

it("is cancelled, not late, when the caller's signal aborts", async () => {
  const controller = new AbortController();
  const limit = { clock: new ManualClock(), limit: 60_000, location: "far", signal: controller.signal };
  const waiting = rejection(withinTime(limit, async (signal) => await unlessCancelled(never, signal)));
  controller.abort();
  expect(await waiting).toMatchObject({ code: "cancelled" });
});
