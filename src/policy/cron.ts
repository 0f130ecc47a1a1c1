/**
 * Cron expressions: node-cron parses them and decides which calendar days match; the times of a day are ours, because
 * that is where daylight saving time is decided.
 *
 * - A time that the clocks skip (02:30 on the spring day) runs at the instant of the change: once, and not never.
 * - A time that comes twice (02:30 on the autumn day) runs once, the first time; but a schedule that names every hour
 *   of the day goes on through the second hour too, or a capture every 15 minutes would pause for an hour.
 */

import { createTask, parse, validateDetailed } from "node-cron";
import { changeBetween, firstInstantOf, offsetAt, wallTime } from "./zone.ts";

const dayLength = 86_400_000;
/** 29 February may be eight years away (2096 to 2104). */
const daysSearched = 8 * 366 + 1;

interface Cron {
  /** The times of the day at which it runs, in ms since midnight, sorted. */
  readonly times: readonly number[];
  readonly everyHour: boolean;
  readonly everyDay: boolean;
  /** Whether it runs on the day that begins at the wall time `midnight`. */
  readonly runsOn: (midnight: number) => boolean;
}

/** Why `expression` can't be used; undefined when it can. */
export function cronProblem(expression: string): string | undefined {
  // node-cron expands every range before it looks at the bounds: 1-99999999999 would take all memory.
  if (expression.length > 200 || /\d{3}/.test(expression)) return "a number in it is too large";
  const { valid, errors, fields } = validateDetailed(expression);
  if (!valid || fields === undefined) return errors.map(describeFieldError).join("; ");
  if (restricts(fields.dayOfMonth, 31) && restricts(fields.dayOfWeek, 7)) {
    return "it sets both day of month and day of week, which cron programs read differently; leave one of them *";
  }
  return nextCronTime(expression, "UTC", 0) === undefined ? "no date ever matches it" : undefined;
}

function describeFieldError(error: { field: string; value?: string; message: string }): string {
  if (error.field === "expression") return error.message;
  if (error.message.includes("impossible")) return `no month that it names has a day ${error.value ?? ""}`;
  const name = error.field.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
  return `\`${error.value ?? ""}\` isn't a valid ${name}`;
}

function restricts(values: readonly (number | string)[], all: number): boolean {
  return new Set(values.filter((value) => typeof value === "number")).size < all;
}

const compiled = new Map<string, Cron>();

function compile(expression: string): Cron {
  const known = compiled.get(expression);
  if (known !== undefined) return known;
  const fields = parse(expression);
  const { dayOfMonth, month, dayOfWeek } = fields;
  // Noon in UTC stands for the day: there, no time is skipped or doubled.
  const days = createTask(`0 12 ${dayOfMonth.join()} ${month.join()} ${dayOfWeek.join()}`, () => undefined, {
    timezone: "UTC",
  });
  void days.destroy(); // Takes it out of node-cron's registry; `match` doesn't need it there.
  const cron: Cron = {
    times: timesOfDay(fields),
    everyHour: new Set(fields.hour).size === 24,
    everyDay: !restricts(dayOfMonth, 31) && !restricts(month, 12) && !restricts(dayOfWeek, 7),
    runsOn: (midnight) => days.match(new Date(midnight + dayLength / 2)),
  };
  // Reloading a changing file for months must not fill the memory.
  if (compiled.size >= 1000) compiled.clear();
  compiled.set(expression, cron);
  return cron;
}

function timesOfDay(fields: { second: number[]; minute: number[]; hour: number[] }): number[] {
  const times = fields.hour.flatMap((hour) =>
    fields.minute.flatMap((minute) => fields.second.map((second) => ((hour * 60 + minute) * 60 + second) * 1000)),
  );
  return [...new Set(times)].sort((a, b) => a - b);
}

/** An answer that holds for every `after` from this one up to `next`. */
interface Answer {
  readonly after: number;
  readonly next: number;
}

/**
 * The last answers by expression and zone. A daemon asks the same again and again, for each of its policies every few seconds;
 * policies with the same schedule may be a run apart.
 */
const answers = new Map<string, Answer[]>();
const answersKept = 4;

/** The first instant after `after` at which `expression` is due in `zone`; undefined when no date ever matches. */
export function nextCronTime(expression: string, zone: string, after: number): number | undefined {
  const key = `${expression}\0${zone}`;
  const known = answers.get(key) ?? [];
  const answer = known.find((one) => one.after <= after && after < one.next);
  if (answer !== undefined) return answer.next;
  const next = findNext(expression, zone, after);
  if (next === undefined) return undefined;
  if (answers.size >= 1000) answers.clear();
  answers.set(key, [{ after, next }, ...known].slice(0, answersKept));
  return next;
}

function findNext(expression: string, zone: string, after: number): number | undefined {
  const cron = compile(expression);
  // From the day before: when the clocks go back over midnight, that day isn't over yet.
  const from = Math.floor(wallTime(after, zone) / dayLength) - 1;
  for (let index = from; index < from + daysSearched; index++) {
    const next = recall(expression, index * dayLength, cron, zone).find((time) => time > after);
    if (next !== undefined) return next;
  }
  return undefined;
}

/** The days asked for last: one run of a day is often followed by another. */
const recent = new Map<string, readonly number[]>();

function recall(expression: string, midnight: number, cron: Cron, zone: string): readonly number[] {
  const key = `${expression}\0${zone}\0${midnight}`;
  const known = recent.get(key);
  if (known !== undefined) return known;
  const instants = cron.runsOn(midnight) ? instantsOn(midnight, cron, zone) : [];
  if (recent.size >= 64) recent.clear();
  recent.set(key, instants);
  return instants;
}

/** Every instant of the day that begins at the wall time `midnight`, sorted. */
function instantsOn(midnight: number, cron: Cron, zone: string): number[] {
  const begin = firstInstantOf(midnight, zone);
  const end = firstInstantOf(midnight + dayLength, zone);
  const before = offsetAt(begin - 1, zone);
  const after = offsetAt(end - 1, zone);
  const walls = cron.times.map((time) => midnight + time);
  if (before === after) return walls.map((wall) => wall - before);

  const change = changeBetween(begin - 1, end - 1, zone);
  const skipped = walls.some((wall) => wall >= change + before && wall < change + after);
  const repeats = (wall: number): boolean => wall < change + before;
  const instants = [
    ...walls.map((wall) => wall - before).filter((time) => time < change),
    ...(skipped ? [change] : []),
    ...walls
      .filter((wall) => cron.everyHour || !repeats(wall))
      .map((wall) => wall - after)
      .filter((time) => time >= change),
  ];
  return [...new Set(instants)].sort((a, b) => a - b);
}

/** The longest time between two runs of `expression`, in ms, daylight saving time left aside. */
export function longestGap(expression: string): number {
  const cron = compile(expression);
  const first = cron.times[0] ?? 0;
  const last = cron.times.at(-1) ?? 0;
  let longest = 0;
  let previous: number | undefined;
  for (const time of cron.times) {
    if (previous !== undefined) longest = Math.max(longest, time - previous);
    previous = time;
  }
  if (cron.everyDay) return Math.max(longest, dayLength - last + first);
  // Eight years that begin on a Monday, with a leap day: every gap that a calendar can make.
  const start = Date.UTC(2024, 0, 1);
  let lastRun: number | undefined;
  for (let index = 0; index < daysSearched; index++) {
    const midnight = start + index * dayLength;
    if (!cron.runsOn(midnight)) continue;
    if (lastRun !== undefined) longest = Math.max(longest, midnight + first - lastRun);
    lastRun = midnight + last;
  }
  return longest;
}
