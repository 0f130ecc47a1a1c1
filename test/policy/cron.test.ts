import { describe, expect, test } from "vitest";
import { createTask } from "node-cron";
import { cronProblem, longestGap, nextCronTime } from "../../src/policy/cron.ts";
import { wallTime } from "../../src/policy/zone.ts";

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;

const zones = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"];

/** Every run of 2026, by asking again and again. */
function runsOf2026(expression: string, zone: string): number[] {
  const runs: number[] = [];
  const end = Date.UTC(2027, 0, 1);
  let time = Date.UTC(2026, 0, 1) - 1;
  for (;;) {
    const next = nextCronTime(expression, zone, time);
    if (next === undefined || next >= end) return runs;
    if (next <= time) throw new Error("the next run isn't after the last one");
    runs.push(next);
    time = next;
  }
}

function gapsOf(times: readonly number[]): number[] {
  return times.slice(1).map((time, index) => time - (times[index] ?? 0));
}

describe.each(zones)("a simulated year in %s", (zone) => {
  test.each(["30 2 * * *", "0 3 * * *", "45 1 * * *", "15 2 * * *", "0 0 * * *"])(
    "%s runs once a day",
    (expression) => {
      const dates = runsOf2026(expression, zone).map((time) => Math.floor(wallTime(time, zone) / day));
      expect(new Set(dates).size).toBe(dates.length);
      expect(dates.length).toBeGreaterThanOrEqual(364);
      expect(new Set(gapsOf(dates))).toEqual(new Set([1]));
    },
  );

  test("every 15 minutes runs every 15 minutes, whatever the clocks do", () => {
    const runs = runsOf2026("*/15 * * * *", zone);
    expect(new Set(gapsOf(runs))).toEqual(new Set([15 * minute]));
  });

  test("every run is one that node-cron sees too, but for the days the clocks change", () => {
    const expressions = ["10 2 * * *", "0 */6 * * mon-fri", "5 4 1,15 * *", "0 1 L * *", "20 10 * * 1#2"];
    const unseen = expressions.flatMap((expression) => {
      const task = createTask(expression, () => undefined, { timezone: zone });
      void task.destroy();
      const clocksChange = (time: number): boolean =>
        wallTime(time + day, zone) - wallTime(time - day, zone) !== 2 * day;
      return runsOf2026(expression, zone).filter((time) => !clocksChange(time) && !task.match(new Date(time)));
    });
    expect(unseen).toEqual([]);
  });
});

describe("when the clocks change in Berlin", () => {
  const iso = (time: number | undefined): string => new Date(time ?? 0).toISOString();

  test("a time that is skipped runs at the change", () => {
    // 29 March 2026: 02:00 becomes 03:00 at 01:00 UTC.
    expect(iso(nextCronTime("30 2 * * *", "Europe/Berlin", Date.UTC(2026, 2, 28, 12)))).toBe(
      "2026-03-29T01:00:00.000Z",
    );
  });

  test("a time that comes twice runs the first time only", () => {
    // 25 October 2026: 03:00 becomes 02:00 at 01:00 UTC; 02:30 is at 00:30 and at 01:30 UTC.
    const first = nextCronTime("30 2 * * *", "Europe/Berlin", Date.UTC(2026, 9, 24, 12)) ?? 0;
    expect(iso(first)).toBe("2026-10-25T00:30:00.000Z");
    expect(iso(nextCronTime("30 2 * * *", "Europe/Berlin", first))).toBe("2026-10-26T01:30:00.000Z");
  });

  test("an hourly schedule runs in both", () => {
    const first = nextCronTime("30 * * * *", "Europe/Berlin", Date.UTC(2026, 9, 25, 0)) ?? 0;
    expect(iso(first)).toBe("2026-10-25T00:30:00.000Z");
    expect(iso(nextCronTime("30 * * * *", "Europe/Berlin", first))).toBe("2026-10-25T01:30:00.000Z");
  });
});

test("a day that begins an hour late, in Beirut, loses no run", () => {
  // 29 March 2026: midnight becomes 01:00, at 22:00 UTC of the day before.
  const next = nextCronTime("0 0 * * *", "Asia/Beirut", Date.UTC(2026, 2, 28, 12)) ?? 0;
  expect(new Date(next).toISOString()).toBe("2026-03-28T22:00:00.000Z");
});

test("six fields begin with seconds", () => {
  expect(nextCronTime("15 30 2 * * *", "UTC", 0)).toBe(2.5 * hour + 15_000);
});

test("29 February is found over a century year that has none", () => {
  expect(nextCronTime("0 0 29 2 *", "UTC", Date.UTC(2096, 2, 1))).toBe(Date.UTC(2104, 1, 29));
});

test.each([
  ["0 3 1 * mon", "both day of month and day of week"],
  ["0 3 * *", "expected 5 or 6 fields but got 4"],
  ["61 * * * *", "`61` isn't a valid minute"],
  ["0 24 * * *", "`24` isn't a valid hour"],
  ["0 3 30 2 *", "no month that it names has a day 30"],
  ["0 3 31 4,6,9,11 *", "no month that it names has a day 31"],
  ["1-99999999999 * * * *", "too large"],
  ["every day", "expected 5 or 6 fields"],
  ["", "illegal characters"],
  ["0 3 * * $(date)", "illegal characters"],
])("%j is refused: %s", (expression, reason) => {
  expect(cronProblem(expression)).toContain(reason);
});

test.each([
  "* * * * *",
  "0 3 * * 7",
  "@daily",
  "0 3 L * *",
  "0 3 * * 5L",
  "*/10 8-17 * * mon-fri",
  "0 3 29 2 *",
  "5 4 1-31 * sun",
])("%s is fine", (expression) => expect(cronProblem(expression)).toBeUndefined());

test.each([
  ["* * * * *", minute],
  ["*/15 * * * *", 15 * minute],
  ["*/7 * * * *", 7 * minute],
  ["0 3 * * *", day],
  ["0 8,10 * * *", 22 * hour],
  ["*/5 8-17 * * mon-fri", 3 * day - (9 * hour + 55 * minute)],
  ["0 0 1 * *", 31 * day],
  ["0 0 1 1 *", 366 * day],
  ["30 0 0 * * *", day],
])("between two runs of %s there are %i ms at most", (expression, gap) => expect(longestGap(expression)).toBe(gap));
