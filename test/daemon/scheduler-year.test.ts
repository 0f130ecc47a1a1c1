/** A year of the real scheduler, beside one worked out by looking at a clock on the wall each half hour, which shares no code with it. */
import { describe, expect, it } from "vitest";
import { type Entry, Scheduler } from "../../src/daemon/scheduler.ts";
import type { Blackout } from "../../src/policy/blackout.ts";
import type { CronSchedule, RpoSchedule } from "../../src/policy/schedule.ts";
import { ManualClock } from "../helpers/manual-clock.ts";

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;
/** Everything in these years begins and changes at a half hour. */
const step = 30 * minute;

/** With every change of these zones in these years: Berlin and New York by an hour, Lord Howe by half of one, Apia by a whole day. */
const years: readonly (readonly [number, readonly string[]])[] = [
  [2026, ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]],
  // After 29 December it was on the other side of the date line: there was no 30 December.
  [2011, ["Pacific/Apia"]],
];

/** A clock whose long sleeps last until shortly before the next time of a grid: a year would be millions of ticks otherwise. */
class HastyClock extends ManualClock {
  readonly #grid: number;

  constructor(now: number, grid: number) {
    super(now);
    this.#grid = grid;
  }

  override sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (ms < 5000) return super.sleep(ms, signal);
    const next = Math.ceil((this.now() + 5001) / this.#grid) * this.#grid;
    return super.sleep(next - 3000 - this.now(), signal);
  }
}

/** Runs the entries for a year from `start`; each gives when it was started. */
async function runForAYear(
  start: number,
  grid: number,
  makeEntries: (clock: ManualClock) => readonly Entry[],
): Promise<void> {
  const clock = new HastyClock(start, grid);
  const scheduler = new Scheduler(clock, () => entries);
  const entries = makeEntries(clock);
  const controller = new AbortController();
  const running = scheduler.run(controller.signal);
  await clock.advance(365 * day);
  controller.abort();
  await running;
}

/** What a clock and a calendar on the wall show at an instant. */
interface Local {
  readonly time: number;
  readonly date: string;
  /** In minutes since midnight. */
  readonly clock: number;
  readonly weekday: string;
}

function wallOf(zone: string): (time: number) => Local {
  const format = new Intl.DateTimeFormat("en-GB", {
    timeZone: zone,
    weekday: "short",
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
    hour: "2-digit",
    minute: "2-digit",
  });
  return (time) => {
    // "Sun, 22/11/2026, 12:30"
    const [weekday = "", date = "", clock = ""] = format.format(time).split(", ");
    const [hours = 0, minutes = 0] = clock.split(":").map(Number);
    return { time, date, clock: hours * 60 + minutes, weekday };
  };
}

/** Every half hour of the year, and of half a day before. */
function halfHours(zone: string, start: number): Local[] {
  const wall = wallOf(zone);
  const count = (365.5 * day) / step + 1;
  return Array.from({ length: count }, (_, index) => wall(start - day / 2 + index * step));
}

/** Once on each date that there is: the first time that the clock shows `at`, or has gone past it in one leap. */
function onceADay(all: readonly Local[], start: number, at: number, weekday?: string): number[] {
  const byDate = Map.groupBy(all, ({ date }) => date);
  return Array.from(byDate.values())
    .filter(([first]) => weekday === undefined || first?.weekday === weekday)
    .flatMap((ofDay) => (ofDay.find(({ clock }) => clock === at) ?? ofDay.find(({ clock }) => clock > at))?.time ?? [])
    .filter((time) => time > start);
}

function cron(expression: string, timezone: string, more: Partial<CronSchedule> = {}): CronSchedule {
  return { kind: "cron", cron: expression, timezone, blackout: [], jitter: 0, missed: "run", ...more };
}

const night: Blackout = { from: 30 * minute, to: 4 * hour, days: [0, 1, 2, 3, 4, 5, 6] };

/** Schedules, each with the times at which it is to start in the year. */
function wantedIn(zone: string, start: number): Readonly<Record<string, readonly [CronSchedule, readonly number[]]>> {
  const all = halfHours(zone, start);
  const inYear = all.filter(({ time }) => time > start);
  const atNight = ({ clock }: Local): boolean => clock >= 30 && clock < 240;
  return {
    "in the hour that is skipped or doubled": [cron("30 2 * * *", zone), onceADay(all, start, 150)],
    "in the other hour that is": [cron("30 1 * * *", zone), onceADay(all, start, 90)],
    "at midnight": [cron("0 0 * * *", zone), onceADay(all, start, 0)],
    "on Sundays": [cron("0 2 * * sun", zone), onceADay(all, start, 120, "Sun")],
    "every half hour": [cron("*/30 * * * *", zone), inYear.map(({ time }) => time)],
    "every half hour but at night": [
      cron("*/30 * * * *", zone, { blackout: [night], missed: "skip" }),
      inYear.filter((local) => !atNight(local)).map(({ time }) => time),
    ],
    "at night, made up for in the morning": [cron("0 3 * * *", zone, { blackout: [night] }), onceADay(all, start, 240)],
  };
}

describe.each(years)("the year %i", (year, zones) => {
  const start = Date.UTC(year, 0, 1);
  const end = start + 365 * day;

  it("has each run of each schedule once, at its time, in each zone", async () => {
    const wanted = zones.flatMap((zone) =>
      Object.entries(wantedIn(zone, start)).map(([name, [schedule, times]]) => ({
        name: `${zone} ${name}`,
        schedule,
        expected: times.filter((time) => time <= end),
        starts: [] as number[],
      })),
    );
    await runForAYear(start, step, (clock) =>
      wanted.map(({ name, schedule, starts }) => ({
        name,
        schedule,
        history: () => ({ lastStarted: starts.at(-1) ?? start }),
        busy: () => false,
        start: () => starts.push(clock.now()),
      })),
    );
    const iso = (times: readonly number[]): string[] => times.map((time) => new Date(time).toISOString());
    for (const { name, expected, starts } of wanted) expect([name, ...iso(starts)]).toEqual([name, ...iso(expected)]);
  });

  it("never has a point that gets older than its rpo, nor a start in a window", async () => {
    const rpo = 6 * hour;
    const took = 5 * minute;
    const points = new Map(zones.map((zone): [string, number[]] => [zone, [start]]));
    let oldest = 0;
    await runForAYear(start, step, (clock) =>
      Array.from(points, ([zone, times]) => {
        const newest = (): number => times.at(-1) ?? start;
        const schedule: RpoSchedule = { kind: "rpo", rpo, timezone: zone, blackout: [night] };
        return {
          name: zone,
          schedule,
          history: () => ({ lastStarted: newest(), lastPoint: newest(), durations: [took] }),
          busy: () => false,
          start: () => {
            // The age that the newest point has reached when the one of this run is there, which is of the instant of its start.
            oldest = Math.max(oldest, clock.now() + took - newest());
            times.push(clock.now());
          },
        };
      }),
    );
    expect(oldest).toBeLessThanOrEqual(rpo);
    for (const [zone, times] of points) {
      const local = times.slice(1).map(wallOf(zone));
      expect(local.filter(({ clock }) => clock >= 30 && clock < 240)).toEqual([]);
      // No more than are needed: the first half of an rpo is never wasted but before a window.
      expect(times.length).toBeGreaterThanOrEqual(365 * 4);
      expect(times.length).toBeLessThanOrEqual(365 * 6);
    }
  });
});
