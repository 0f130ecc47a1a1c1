import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Blackout } from "../../src/policy/blackout.ts";
import { blackoutAt, longestBlackout } from "../../src/policy/blackout.ts";
import type { CronSchedule, RpoSchedule } from "../../src/policy/schedule.ts";
import { jitterOf, nextRun } from "../../src/policy/schedule.ts";
import { wallTime } from "../../src/policy/zone.ts";

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;
const everyDay = [0, 1, 2, 3, 4, 5, 6];
const workdays = [1, 2, 3, 4, 5];

const nightly: CronSchedule = {
  kind: "cron",
  cron: "0 2 * * *",
  timezone: "UTC",
  blackout: [],
  jitter: 0,
  missed: "run",
};
const hourly: RpoSchedule = { kind: "rpo", rpo: hour, timezone: "UTC", blackout: [] };
/** A Monday. */
const monday = Date.UTC(2026, 5, 1);

describe("cron", () => {
  test("the next run follows the last one", () => {
    const last = monday + 2 * hour + 20;
    expect(nextRun(nightly, "p", monday + 3 * hour, { lastStarted: last })).toBe(monday + day + 2 * hour);
  });

  test("missed runs are made up for once", () => {
    const lastStarted = monday + 2 * hour;
    const now = monday + 5 * day;
    const due = nextRun(nightly, "p", now, { lastStarted }) ?? 0;
    expect(due).toBe(monday + day + 2 * hour);
    expect(nextRun(nightly, "p", now + 1, { lastStarted: now })).toBe(monday + 5 * day + 2 * hour);
  });

  test("missed runs are left out when the policy says so, but for what is just now due", () => {
    const skip: CronSchedule = { ...nightly, missed: "skip" };
    const lastStarted = monday + 2 * hour;
    expect(nextRun(skip, "p", monday + 5 * day, { lastStarted })).toBe(monday + 5 * day + 2 * hour);
    const due = monday + 5 * day + 2 * hour;
    expect(nextRun(skip, "p", due + 30_000, { lastStarted })).toBe(due);
    expect(nextRun(skip, "p", due + 2 * minute, { lastStarted })).toBe(due + day);
    expect(nextRun(skip, "p", due + 30_000, { lastStarted: due + 10_000 })).toBe(due + day);
  });

  test("a policy that has never run starts at once, or waits for its time when missed runs are skipped", () => {
    expect(nextRun(nightly, "p", monday)).toBe(monday);
    expect(nextRun({ ...nightly, missed: "skip" }, "p", monday)).toBe(monday + 2 * hour);
  });

  test("a clock that was ahead doesn't silence the policy", () => {
    expect(nextRun(nightly, "p", monday, { lastStarted: monday + 400 * day })).toBe(monday + 2 * hour);
  });

  test("jitter moves every run by the same time", () => {
    const shift = jitterOf("erp", 30 * minute);
    expect(shift).toBeGreaterThan(0);
    const jittered = { ...nightly, jitter: 30 * minute };
    expect(nextRun(jittered, "erp", monday, { lastStarted: monday })).toBe(monday + 2 * hour + shift);
    expect(nextRun(jittered, "erp", monday + day, { lastStarted: monday + day })).toBe(monday + day + 2 * hour + shift);
  });

  test("jitter spreads policies evenly", () => {
    const shifts = Array.from({ length: 400 }, (_, index) => jitterOf(`policy-${index}`, 4));
    for (const quarter of [0, 1, 2, 3]) expect(shifts.filter((shift) => shift === quarter).length).toBeGreaterThan(60);
  });
});

describe("blackouts", () => {
  const night: Blackout = { from: hour, to: 4 * hour, days: everyDay };
  const asleep: CronSchedule = { ...nightly, blackout: [night] };

  test("a run in a window starts when the window ends", () => {
    const lastStarted = monday - hour;
    expect(nextRun(asleep, "p", monday, { lastStarted })).toBe(monday + 4 * hour);
    // The same answer while the window lasts, although the time of the run has passed.
    expect(nextRun(asleep, "p", monday + 3 * hour, { lastStarted })).toBe(monday + 4 * hour);
    expect(nextRun(asleep, "p", monday + 5 * hour, { lastStarted: monday + 4 * hour })).toBe(monday + day + 4 * hour);
  });

  test("a run in a window is left out when missed runs are skipped", () => {
    const skip: CronSchedule = { ...asleep, cron: "0 2,12 * * *", missed: "skip" };
    expect(nextRun(skip, "p", monday)).toBe(monday + 12 * hour);
  });

  test("a schedule that only ever falls into windows never starts", () => {
    expect(nextRun({ ...asleep, missed: "skip" }, "p", monday)).toBeUndefined();
  });

  test("a run missed long ago doesn't start inside a window either", () => {
    const due = nextRun(asleep, "p", monday + 2 * hour, { lastStarted: monday - 5 * day });
    expect(due).toBe(monday + 4 * hour);
  });

  test("windows over midnight belong to the day on which they begin", () => {
    const windows: Blackout[] = [{ from: 22 * hour, to: 6 * hour, days: [5] }];
    const friday = monday + 4 * day;
    expect(blackoutAt(windows, "UTC", friday + 5 * hour)).toBeUndefined();
    expect(blackoutAt(windows, "UTC", friday + day + 5 * hour)).toEqual({
      start: friday + 22 * hour,
      end: friday + 30 * hour,
    });
  });

  test("windows that touch are one", () => {
    const windows: Blackout[] = [
      { from: 8 * hour, to: 12 * hour, days: workdays },
      { from: 12 * hour, to: 24 * hour, days: workdays },
      { from: 0, to: 8 * hour, days: workdays },
    ];
    expect(blackoutAt(windows, "UTC", monday + 2 * day)).toEqual({ start: monday, end: monday + 5 * day });
    expect(longestBlackout(windows)).toBe(5 * day);
  });

  test("the longest window, also over the end of the week", () => {
    expect(longestBlackout([])).toBe(0);
    expect(longestBlackout([{ from: 22 * hour, to: 6 * hour, days: [6] }])).toBe(8 * hour);
    expect(longestBlackout([{ from: 0, to: 24 * hour, days: everyDay }])).toBe(Number.POSITIVE_INFINITY);
  });

  test("nothing ever starts inside a window, and every answer is a fixed point", () => {
    const clockTime = fc.integer({ min: 0, max: 95 }).map((quarter) => quarter * 15 * minute);
    const window = fc
      .record({ from: clockTime, to: clockTime, days: fc.subarray(everyDay, { minLength: 1 }) })
      .filter(({ from, to }) => from !== to);
    const schedules = fc.record({
      cron: fc.constantFrom("*/20 * * * *", "0 2 * * *", "30 6 * * mon", "15 0-5 * * *"),
      blackout: fc.array(window, { maxLength: 3 }).filter((windows) => longestBlackout(windows) < 6 * day),
      missed: fc.constantFrom("run" as const, "skip" as const),
      timezone: fc.constantFrom("UTC", "Europe/Berlin", "Australia/Lord_Howe"),
      jitter: fc.constantFrom(0, 20 * minute),
    });
    fc.assert(
      fc.property(schedules, fc.integer({ min: 0, max: 365 * 24 * 60 }), (settings, minutes) => {
        const schedule: CronSchedule = { kind: "cron", ...settings };
        const now = Date.UTC(2026, 0, 1) + minutes * minute;
        const due = nextRun(schedule, "p", now, { lastStarted: now });
        if (due === undefined) return;
        expect(due).toBeGreaterThan(now);
        expect(blackoutAt(schedule.blackout, schedule.timezone, due)).toBeUndefined();
        expect(nextRun(schedule, "p", Math.floor((now + due) / 2), { lastStarted: now })).toBe(due);
        expect(nextRun(schedule, "p", due, { lastStarted: now })).toBe(due);
      }),
      { numRuns: 100 },
    );
  });
});

describe("rpo", () => {
  test("a run starts early enough to be committed before the age is reached", () => {
    const history = { lastPoint: monday, lastStarted: monday, durations: [2 * minute, 10 * minute, minute] };
    expect(nextRun(hourly, "p", monday + minute, history)).toBe(monday + hour - 15 * minute);
    expect(nextRun(hourly, "p", monday + minute, { lastPoint: monday, lastStarted: monday })).toBe(
      monday + 54 * minute,
    );
  });

  test("without a point it starts at once, and after a failure not in a loop", () => {
    expect(nextRun(hourly, "p", monday)).toBe(monday);
    expect(nextRun(hourly, "p", monday + 1, { lastStarted: monday })).toBe(monday + 6 * minute);
  });

  test("captures longer than the objective follow each other closely, and still don't loop", () => {
    const history = { lastPoint: monday, lastStarted: monday, durations: [3 * hour] };
    expect(nextRun(hourly, "p", monday + 3 * hour, history)).toBe(monday + 6 * minute);
  });

  test("a run that would fall into a window starts before it", () => {
    const schedule: RpoSchedule = { ...hourly, blackout: [{ from: 30 * minute, to: 75 * minute, days: everyDay }] };
    const history = { lastPoint: monday, lastStarted: monday };
    expect(nextRun(schedule, "p", monday + minute, history)).toBe(monday + 29 * minute);
    expect(nextRun(schedule, "p", monday + 29.5 * minute, history)).toBe(monday + 29.5 * minute);
    expect(nextRun(schedule, "p", monday + 40 * minute, history)).toBe(monday + 75 * minute);
  });

  test("in a simulated week the age never passes the objective while captures take what they took before", () => {
    fc.assert(
      fc.property(fc.integer({ min: 5, max: 240 }), fc.integer({ min: 0, max: 50 }), (rpoMinutes, percent) => {
        const rpo = rpoMinutes * minute;
        const schedule: RpoSchedule = { ...hourly, rpo };
        const durations = [(rpo * percent) / 100 / 1.5];
        let point = monday;
        for (let run = 0; run < 100; run++) {
          const start = nextRun(schedule, "p", point, { lastPoint: point, lastStarted: point, durations }) ?? 0;
          const commit = start + (durations[0] ?? 0);
          expect(commit - point).toBeLessThanOrEqual(rpo);
          expect(start).toBeGreaterThan(point);
          point = start;
        }
      }),
    );
  });
});

test("a manual policy never starts by itself", () => {
  expect(nextRun({ kind: "manual", timezone: "UTC", blackout: [] }, "p", monday)).toBeUndefined();
});

test("a year of a daemon that ticks: each night in Berlin has one run, also when the clocks change", () => {
  const schedule: CronSchedule = { ...nightly, cron: "30 2 * * *", timezone: "Europe/Berlin", jitter: 40 * minute };
  const dates: number[] = [];
  let lastStarted = Date.UTC(2026, 0, 1);
  while (dates.length < 365) {
    const due = nextRun(schedule, "files", lastStarted, { lastStarted }) ?? 0;
    lastStarted = due + 5000;
    dates.push(Math.floor(wallTime(due, "Europe/Berlin") / day));
  }
  expect(dates).toEqual(Array.from({ length: 365 }, (_, index) => (dates[0] ?? 0) + index));
});
