/**
 * Calendar periods of the `within` rules: `1y5m7d2h`, where m is a *month*. The length of one depends on where in the
 * calendar it ends, so it stays in years, months, days and hours until it is subtracted.
 */

import { offsetAt, wallTime } from "./zone.ts";

export interface Period {
  readonly years: number;
  readonly months: number;
  readonly days: number;
  readonly hours: number;
}

export const periodPattern = /^(?:\d{1,5}[ymdh])+$/;

/** `1y5m7d2h`, the units in any order, each at most once; undefined when the text isn't a period. */
export function parsePeriod(text: string): Period | undefined {
  if (!periodPattern.test(text)) return undefined;
  const found = new Map<string, number>();
  for (const [, count, unit] of text.matchAll(/(\d+)([ymdh])/g)) {
    if (found.has(unit as string)) return undefined;
    found.set(unit as string, Number(count));
  }
  const of = (unit: string): number => found.get(unit) ?? 0;
  return { years: of("y"), months: of("m"), days: of("d"), hours: of("h") };
}

/** The opposite of `parsePeriod`. */
export function formatPeriod({ years, months, days, hours }: Period): string {
  const parts = [`${years}y`, `${months}m`, `${days}d`, `${hours}h`].filter((part) => !part.startsWith("0"));
  return parts.length === 0 ? "0h" : parts.join("");
}

export function isZero({ years, months, days, hours }: Period): boolean {
  return years + months + days + hours === 0;
}

/**
 * `time` minus `period`, as Go's `AddDate(-y, -m, -d).Add(-h)` computes it, because restic does: years, months and
 * days on the wall clock of `zone` (31 March minus a month is 31 February, which is 2 or 3 March), then real hours.
 */
export function subtractPeriod(time: number, period: Period, zone: string): number {
  const wall = new Date(wallTime(time, zone));
  wall.setUTCFullYear(
    wall.getUTCFullYear() - period.years,
    wall.getUTCMonth() - period.months,
    wall.getUTCDate() - period.days,
  );
  const fraction = time - Math.floor(time);
  return fromWall(wall.getTime(), zone) + fraction - period.hours * 3_600_000;
}

/** Go's `time.Date`: where the wall clock is ambiguous or skips, the offset on one side of the change decides. */
function fromWall(wall: number, zone: string): number {
  const guess = wall - offsetAt(wall, zone);
  return wall - offsetAt(guess, zone);
}
