/** The span of time that the page shows, and where its instants lie. All in UTC, as every time that Stillpoint prints. */
import { day, hour } from "../../policy/units.ts";

export const rangeNames = ["24h", "7d", "30d", "1y"] as const;
export type RangeName = (typeof rangeNames)[number];

const lengths: Readonly<Record<RangeName, number>> = { "24h": day, "7d": 7 * day, "30d": 30 * day, "1y": 365 * day };

export interface Scale {
  readonly range: RangeName;
  readonly from: number;
  readonly to: number;
}

export interface Tick {
  /** In thousandths of the width. */
  readonly x: number;
  readonly label: string;
}

/** The range that is named, or a week. */
export function rangeNamed(name: string | null | undefined): RangeName {
  return rangeNames.find((one) => one === name) ?? "7d";
}

/** The range up to `now`, with a little room for what comes. */
export function scaleOf(range: RangeName, now: number): Scale {
  return { range, from: now - lengths[range], to: now + lengths[range] / 100 };
}

/** In thousandths of the width, between the edges. */
export function at({ from, to }: Scale, time: number): number {
  const share = (time - from) / (to - from);
  return Math.round(Math.min(1, Math.max(0, share)) * 10_000) / 10;
}

export function ticksOf(scale: Scale): Tick[] {
  return timesOf(scale)
    .map((time) => ({ x: at(scale, time), label: labelOf(scale.range, new Date(time)) }))
    .filter(({ x }) => x > 15 && x < 985);
}

function timesOf({ range, from, to }: Scale): number[] {
  if (range === "1y") return monthsBetween(from, to);
  const step = { "24h": 3 * hour, "7d": day, "30d": 5 * day }[range];
  const first = Math.ceil(from / step) * step;
  return Array.from({ length: Math.max(0, Math.ceil((to - first) / step)) }, (_, number) => first + number * step);
}

function monthsBetween(from: number, to: number): number[] {
  const start = new Date(from);
  const months = Array.from({ length: 14 }, (_, number) =>
    Date.UTC(start.getUTCFullYear(), start.getUTCMonth() + number),
  );
  return months.filter((time) => time > from && time < to);
}

const weekdays = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

function labelOf(range: RangeName, time: Date): string {
  const dayOfMonth = String(time.getUTCDate());
  if (range === "24h") return time.toISOString().slice(11, 16);
  if (range === "7d") return `${weekdays[time.getUTCDay()] ?? ""} ${dayOfMonth}`;
  if (range === "30d") return `${dayOfMonth} ${months[time.getUTCMonth()] ?? ""}`;
  return months[time.getUTCMonth()] ?? "";
}
