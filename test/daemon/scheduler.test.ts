import { describe, expect, it } from "vitest";
import { type Entry, Scheduler } from "../../src/daemon/scheduler.ts";
import type { CronSchedule, Schedule } from "../../src/policy/schedule.ts";
import { ManualClock } from "../helpers/manual-clock.ts";

const minutely: CronSchedule = {
  kind: "cron",
  cron: "* * * * *",
  timezone: "UTC",
  blackout: [],
  jitter: 0,
  missed: "run",
};
const noon = Date.UTC(2026, 10, 22, 12);

/** One entry on a clock that begins at `noon`; `starts` has the times of its starts, in seconds after noon. */
function oneEntry(schedule: Schedule, lastStarted: number | undefined) {
  const clock = new ManualClock(noon);
  const state = { lastStarted, busy: false, starts: [] as number[], lags: [] as number[] };
  const entry: Entry = {
    name: "often",
    schedule,
    history: () => ({ lastStarted: state.lastStarted }),
    busy: () => state.busy,
    start: (lag) => {
      state.lastStarted = clock.now();
      state.starts.push((clock.now() - noon) / 1000);
      state.lags.push(lag);
    },
  };
  const scheduler = new Scheduler(clock, () => [entry]);
  const controller = new AbortController();
  const running = scheduler.run(controller.signal);
  return {
    clock,
    state,
    scheduler,
    entry,
    stop: async () => {
      controller.abort();
      await running;
    },
  };
}

describe("the scheduler", () => {
  it("starts at the minute, each time once", async () => {
    const { clock, state, stop } = oneEntry(minutely, noon);
    await clock.advance(150_000);
    expect(state.starts).toEqual([60, 120]);
    expect(state.lags).toEqual([0, 0]);
    await stop();
  });

  it("starts what never ran at once", async () => {
    const { clock, state, stop } = oneEntry(minutely, undefined);
    await clock.advance(0);
    expect(state.starts).toEqual([0]);
    await stop();
  });

  it("makes up once for runs that became due while the entry was busy, as soon as it is free", async () => {
    const { clock, state, scheduler, stop } = oneEntry(minutely, noon);
    state.busy = true;
    await clock.advance(200_000);
    expect(state.starts).toEqual([]);
    state.busy = false;
    scheduler.wake();
    await clock.advance(0);
    expect(state.starts).toEqual([200]);
    expect(state.lags).toEqual([140_000]);
    await clock.advance(39_999);
    expect(state.starts).toEqual([200]);
    await clock.advance(1);
    expect(state.starts).toEqual([200, 240]);
    await stop();
  });

  it("notices within seconds when the clock is set forward, or the machine has slept", async () => {
    const { clock, state, stop } = oneEntry({ ...minutely, cron: "0 13 * * *" }, noon);
    clock.setNow(noon + 3_600_000);
    await clock.advance(5000);
    expect(state.starts).toHaveLength(1);
    await stop();
  });

  it("never starts what is run by hand only, and says so", async () => {
    const { clock, state, scheduler, entry, stop } = oneEntry(
      { kind: "manual", timezone: "UTC", blackout: [] },
      undefined,
    );
    await clock.advance(60_000);
    expect(state.starts).toEqual([]);
    expect(scheduler.nextRun(entry)).toBeUndefined();
    await stop();
  });

  it("tells how long ago it looked", async () => {
    const { clock, scheduler, stop } = oneEntry(minutely, noon);
    await clock.advance(3000);
    expect(scheduler.sinceTick).toBeLessThanOrEqual(5000);
    await stop();
    await clock.advance(100_000);
    expect(scheduler.sinceTick).toBeGreaterThan(60_000);
  });
});
