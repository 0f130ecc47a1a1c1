/**
 * Which recovery points the keep rules keep: the semantics of restic's `forget --keep-*`, because administrators know
 * them (https://restic.readthedocs.io/en/stable/060_forget.html). A point stays when *any* rule keeps it.
 */

import type { Period } from "./period.ts";
import { formatPeriod, isZero, subtractPeriod } from "./period.ts";
import { wallTime } from "./zone.ts";

/** Rules that count. Each keeps the newest point of the last n hours, days … that have one; -1 is all, 0 is none. */
export const countedRules = ["last", "hourly", "daily", "weekly", "monthly", "yearly"] as const;
/** Rules with a period before the newest point: all points in it, or the newest of each hour, day … in it. */
export const periodRules = [
  "within",
  "within_hourly",
  "within_daily",
  "within_weekly",
  "within_monthly",
  "within_yearly",
] as const;

export type KeepRules = { readonly [rule in (typeof countedRules)[number]]?: number | undefined } & {
  readonly [rule in (typeof periodRules)[number]]?: Period | undefined;
} & {
  /** A point stays when it has every tag of one of the lists. An empty list would match every point. */
  readonly tags?: readonly (readonly string[])[] | undefined;
};

/** A recovery point of *one* source under one policy, as the rules see it. */
export interface Point {
  readonly id: string;
  /** The instant captured, in ms since the epoch; may have a fraction. */
  readonly time: number;
  readonly tags: readonly string[];
}

export interface Kept {
  readonly id: string;
  /** Why, at least one, for a person: `daily`, `within 7d`, `has tags [a, b]` … */
  readonly reasons: readonly string[];
}

/** Every point is in one of the two, newest first. */
export interface Decision {
  readonly keep: readonly Kept[];
  readonly remove: readonly string[];
}

export interface RetentionClock {
  /** In ms since the epoch. */
  readonly now: number;
  /** IANA time zone: the one in which a day begins and ends, whatever zone a point was captured in. */
  readonly timezone: string;
}

/** Decides by `rules` alone. Without any rule in use everything is kept. Points of the same time go by their id. */
export function applyRules(points: readonly Point[], rules: KeepRules, { now, timezone }: RetentionClock): Decision {
  const keep: Kept[] = [];
  const remove: string[] = [];
  if (!keepsAnything(rules))
    return { keep: newestFirst(points).map(({ id }) => ({ id, reasons: ["no rules"] })), remove };

  // Periods count from the newest point that isn't dated in the future; without one, they keep everything.
  const latest = points.reduce(
    (best, { time }) => (time < now ? Math.max(best, time) : best),
    Number.NEGATIVE_INFINITY,
  );
  const selectors = [...countSelectors(rules), ...periodSelectors(rules, latest, timezone)];
  for (const [number, point] of newestFirst(points).entries()) {
    const place = { number, oldest: number === points.length - 1, wall: wallTime(point.time, timezone) };
    const reasons = new Set([
      ...(rules.tags ?? []).filter((list) => list.every((tag) => point.tags.includes(tag))).map(describeTags),
      ...selectors.flatMap((select) => select(point, place) ?? []),
    ]);
    if (reasons.size > 0) keep.push({ id: point.id, reasons: [...reasons] });
    else remove.push(point.id);
  }
  return { keep, remove };
}

/** Whether any rule is in use at all, whatever points there are. */
export function keepsAnything(rules: KeepRules): boolean {
  const counted = countedRules.some((rule) => (rules[rule] ?? 0) !== 0);
  const periods = periodRules.some((rule) => rules[rule] !== undefined && !isZero(rules[rule]));
  return counted || periods || (rules.tags?.length ?? 0) > 0;
}

/** The rules in use, in words: `last 3, daily 7, within 2d`; what there is to say when none is. */
export function describeRules(rules: KeepRules): string {
  const counted = countedRules.flatMap((rule) => {
    const number = rules[rule] ?? 0;
    return number === 0 ? [] : [`${rule} ${number === -1 ? "all" : number}`];
  });
  const periods = periodRules.flatMap((rule) => {
    const period = rules[rule];
    return period === undefined || isZero(period) ? [] : [`${rule} ${formatPeriod(period)}`];
  });
  const tags = (rules.tags ?? []).map((list) => `tags ${list.join(" and ")}`);
  const all = [...counted, ...periods, ...tags];
  return all.length === 0 ? "no rules: everything stays" : all.join(", ");
}

export function newestFirst<P extends Point>(points: readonly P[]): P[] {
  return points.toSorted((a, b) => b.time - a.time || (a.id < b.id ? -1 : 1));
}

/** Where a point stands in the list, newest first. */
interface Place {
  readonly number: number;
  readonly oldest: boolean;
  readonly wall: number;
}

/** Asked for every point, newest first: the reason to keep it, if there is one. Remembers which slots are taken. */
type Selector = (point: Point, place: Place) => string | undefined;

const hourLength = 3_600_000;
const dayLength = 24 * hourLength;

/** The number of the hour, day … that a point falls into. Weeks begin on Monday and belong to no year (ISO 8601). */
const slots: Record<(typeof countedRules)[number], (place: Place) => number> = {
  last: ({ number }) => number,
  hourly: ({ wall }) => Math.floor(wall / hourLength),
  daily: ({ wall }) => Math.floor(wall / dayLength),
  // 1 January 1970 was a Thursday, three days after a Monday.
  weekly: ({ wall }) => Math.floor((Math.floor(wall / dayLength) + 3) / 7),
  monthly: ({ wall }) => new Date(wall).getUTCFullYear() * 12 + new Date(wall).getUTCMonth(),
  yearly: ({ wall }) => new Date(wall).getUTCFullYear(),
};

function countSelectors(rules: KeepRules): Selector[] {
  return countedRules.flatMap((rule) => {
    let left = rules[rule] ?? 0;
    let taken: number | undefined;
    const select: Selector = (_point, place) => {
      if (left === 0) return undefined;
      const slot = slots[rule](place);
      const first = slot !== taken;
      // The oldest point takes a slot that is still free, so that the history reaches back as far as it can.
      if (!first && !place.oldest) return undefined;
      taken = slot;
      left -= left > 0 ? 1 : 0;
      return first ? rule : `oldest ${rule}`;
    };
    return left === 0 ? [] : [select];
  });
}

function periodSelectors(rules: KeepRules, latest: number, timezone: string): Selector[] {
  return periodRules.flatMap((rule) => {
    const period = rules[rule];
    if (period === undefined || isZero(period)) return [];
    const since = latest === Number.NEGATIVE_INFINITY ? latest : subtractPeriod(latest, period, timezone);
    const label = `${rule} ${formatPeriod(period)}`;
    const each = rule === "within" ? slots.last : slots[rule.slice("within_".length) as (typeof countedRules)[number]];
    let taken: number | undefined;
    const select: Selector = (point, place) => {
      if (!(point.time > since)) return undefined;
      const slot = each(place);
      const first = slot !== taken;
      if (!first && !place.oldest) return undefined;
      taken = slot;
      return first ? label : `oldest ${label}`;
    };
    return [select];
  });
}

function describeTags(list: readonly string[]): string {
  return `has tags [${list.join(", ")}]`;
}
