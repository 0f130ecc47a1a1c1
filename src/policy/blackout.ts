/** Windows of the week in which nothing starts. What runs already when one begins, runs on. */

import { firstInstantOf, lastInstantOf, wallTime } from "./zone.ts";

const dayLength = 86_400_000;
const minuteLength = 60_000;
const minutesOfWeek = 7 * 24 * 60;

export interface Blackout {
  /** Wall time of the beginning, in ms since midnight. */
  readonly from: number;
  /** Wall time of the end, in ms since midnight; at or before `from` it is of the next day. */
  readonly to: number;
  /** The days of the week on which it begins, 0 is Sunday. */
  readonly days: readonly number[];
}

export interface Span {
  /** The first instant inside. */
  readonly start: number;
  /** The first instant after it. */
  readonly end: number;
}

/** The stretch in which nothing starts that contains `time`; windows that touch are one stretch. */
export function blackoutAt(blackouts: readonly Blackout[], zone: string, time: number): Span | undefined {
  let span = windowAt(blackouts, zone, time);
  if (span === undefined) return undefined;
  for (let next = windowAt(blackouts, zone, span.end); next !== undefined; next = windowAt(blackouts, zone, span.end)) {
    span = { start: span.start, end: next.end };
  }
  for (let next = windowAt(blackouts, zone, span.start - 1); next; next = windowAt(blackouts, zone, span.start - 1)) {
    span = { start: next.start, end: span.end };
  }
  return span;
}

function windowAt(blackouts: readonly Blackout[], zone: string, time: number): Span | undefined {
  if (blackouts.length === 0) return undefined;
  const today = Math.floor(wallTime(time, zone) / dayLength) * dayLength;
  for (const midnight of [today, today - dayLength]) {
    const window = recall(blackouts, zone, midnight).find(({ start, end }) => time >= start && time < end);
    if (window !== undefined) return window;
  }
  return undefined;
}

/** The windows of the days asked for last, as long as the configuration has them. A daemon asks again and again. */
const recent = new WeakMap<readonly Blackout[], Map<string, readonly Span[]>>();

function recall(blackouts: readonly Blackout[], zone: string, midnight: number): readonly Span[] {
  const days = recent.get(blackouts) ?? new Map<string, readonly Span[]>();
  recent.set(blackouts, days);
  const key = `${zone} ${String(midnight)}`;
  const known = days.get(key);
  if (known !== undefined) return known;
  const windows = windowsOn(midnight, blackouts, zone);
  if (days.size >= 8) days.clear();
  days.set(key, windows);
  return windows;
}

/** Those that begin on the day whose wall time at its beginning is `midnight`. */
function windowsOn(midnight: number, blackouts: readonly Blackout[], zone: string): Span[] {
  return blackouts
    .filter(({ days }) => days.includes(new Date(midnight).getUTCDay()))
    .map(({ from, to }) => ({
      start: firstInstantOf(midnight + from, zone),
      end: lastInstantOf(midnight + to + (to <= from ? dayLength : 0), zone),
    }));
}

/** The longest stretch of a week in which nothing starts, in ms; infinite when that is all of it. */
export function longestBlackout(blackouts: readonly Blackout[]): number {
  const covered = new Uint8Array(minutesOfWeek);
  for (const { from, to, days } of blackouts) {
    const length = (to - from + (to <= from ? dayLength : 0)) / minuteLength;
    for (const weekday of days) {
      const start = (weekday * dayLength + from) / minuteLength;
      for (let minute = start; minute < start + length; minute++) covered[minute % minutesOfWeek] = 1;
    }
  }
  const firstFree = covered.indexOf(0);
  if (firstFree === -1) return Number.POSITIVE_INFINITY;
  let longest = 0;
  let current = 0;
  for (let step = 1; step <= minutesOfWeek; step++) {
    current = covered[(firstFree + step) % minutesOfWeek] === 1 ? current + 1 : 0;
    longest = Math.max(longest, current);
  }
  return longest * minuteLength;
}
