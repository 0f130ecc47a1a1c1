/** How the page says things. */
import { formatAge, formatTime } from "../../cli/format.ts";
import { minute } from "../../policy/units.ts";
import type { PointStatus, WorkStatus } from "../control-protocol.ts";
import { type Html, html } from "./html.ts";

/** `3h 12m`; by the second only below a minute, so that the page is calm. */
export function age(ms: number): string {
  const positive = Math.max(0, ms);
  return formatAge(positive < minute ? positive : Math.floor(positive / minute) * minute);
}

/** `in 14m`, or `now` when it is due. */
export function until(time: number, now: number): string {
  return time <= now ? "now" : `in ${age(time - now)}`;
}

/** An instant, readable for people and programs. */
export function moment(time: number): Html {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return html`${formatTime(time)}`;
  return html`<time datetime="${date.toISOString()}">${formatTime(time).slice(0, 16)}</time>`;
}

type Work = Pick<WorkStatus, "stage"> & {
  readonly [name in "policy" | "source" | "location"]?: string | undefined;
};

/** `Capture of web`, `Replication of nightly to far`, `Check of primary`. */
export function nameOf({ stage, policy = "", source = "", location = "" }: Work): string {
  switch (stage) {
    case "capture":
      return `Capture of ${source} (${policy})`;
    case "replication":
      return `Replication of ${policy} to ${location}`;
    case "prune":
      return `Pruning of ${policy} at ${location}`;
    case "sweep":
      return `Sweep of ${location}`;
    case "check":
      return `Check of ${location}`;
  }
}

export type Standing = "met" | "missed" | "never" | "unpromised";

/** How the newest point stands against the objective. A point that was never made misses every objective. */
export function standingOf({ newest, objective }: PointStatus, now: number): Standing {
  if (newest === undefined) return "never";
  if (objective === undefined) return "unpromised";
  return now - newest.time <= objective ? "met" : "missed";
}

export function isMissed(point: PointStatus, now: number): boolean {
  return point.objective !== undefined && ["missed", "never"].includes(standingOf(point, now));
}

/** `2026-11-22`. */
export function day(time: number): string {
  return formatTime(time).slice(0, 10);
}

export type Fact = readonly [name: string, value: Html];

export function factList(facts: readonly Fact[]): Html {
  return html`<dl>${facts.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}
