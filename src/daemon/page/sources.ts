/** Each source with its time lines, and what is known of them in detail. */
import { count, formatAge, formatBytes } from "../../cli/format.ts";
import type { PrunePreview } from "../../job/preview-prune.ts";
import type { DaemonStatus, History, NewestPoint, PointStatus, PolicyStatus, Timeline } from "../control-protocol.ts";
import { axis, timeline } from "./charts.ts";
import { type Html, html } from "./html.ts";
import { rangeNames, type Scale } from "./scale.ts";
import { age, day, type Fact, factList, moment, standingOf, until } from "./words.ts";

/** What everything is drawn from. */
export interface Picture {
  readonly status: DaemonStatus;
  /** Undefined until it was read for the first time. */
  readonly history: History | undefined;
  readonly scale: Scale;
}

export function sourcesSection(picture: Picture): Html {
  const { status, scale } = picture;
  const ranges = rangeNames.map((name) => {
    const current = name === scale.range ? html`aria-current="true"` : undefined;
    return html`<a href="?range=${name}" ${current}>${name}</a>`;
  });
  return html`<section class="sources" aria-labelledby="sources">
    <header>
      <h2 id="sources">Recovery points</h2>
      <nav class="ranges" aria-label="Time shown">${ranges}</nav>
    </header>
    ${status.points.length === 0 ? nothingYet(status) : cards(picture)}
  </section>`;
}

function nothingYet({ config }: DaemonStatus): Html {
  return html`<p class="empty">No policy protects anything yet. Add sources and policies to <code>${config.file}</code>:
    it is put into force when it is saved.</p>`;
}

function cards(picture: Picture): Html {
  const { status, history, scale } = picture;
  const known = {
    timelines: new Map(history?.timelines.map((one) => [keyOf(one), one])),
    prunes: new Map(history?.prunes.map((one) => [keyOf(one), one])),
  };
  const groups = [...Map.groupBy(status.points, ({ policy, source }) => JSON.stringify([policy, source])).values()];
  return html`
    ${history === undefined ? html`<p class="quiet">The recovery points are being read …</p>` : undefined}
    <div class="ruler">${legend}${axis(scale)}</div>
    ${groups.map((points, number) => card({ ...picture, ...known }, points, number))}`;
}

const legend = html`<p class="legend" aria-hidden="true">
  <span class="key points">point</span>
  <span class="key verified">verified</span>
  <span class="key held">held</span>
  <span class="key gap">objective missed</span>
  <span class="key promise">allowed age</span>
</p>`;

/** With the history's lists by `keyOf`: there may be thousands of entries. */
interface Indexed extends Picture {
  readonly timelines: ReadonlyMap<string, Timeline>;
  readonly prunes: ReadonlyMap<string, PrunePreview>;
}

/** `points`: of one source under one policy, one for each location. */
function card(picture: Indexed, points: readonly PointStatus[], number: number): Html {
  const { status } = picture;
  const [{ policy, source } = { policy: "", source: "" }] = points;
  const running = status.work.some((one) => one.stage === "capture" && one.policy === policy && one.source === source);
  const { nextRun }: Partial<PolicyStatus> = status.policies.find((one) => one.policy === policy) ?? {};
  return html`<article class="source" id="source-${number}">
    <h3>${source}</h3>
    <p class="about">${policy}${running ? html` <span class="running">running</span>` : undefined}
      <span class="next">${nextRun === undefined ? "runs when asked to" : `next run ${until(nextRun, status.now)}`}</span></p>
    <ul class="lines">${points.map((point) => lineOf(picture, point))}</ul>
    <details id="more-${number}">
      <summary>Details<span class="hidden"> of ${source} (${policy})</span></summary>
      ${points.map((point) => detailsOf(picture, point))}
    </details>
  </article>`;
}

function lineOf({ status, timelines, scale }: Indexed, point: PointStatus): Html {
  const { location, newest, objective } = point;
  const { now } = status;
  const line = timelines.get(keyOf(point));
  const reachable = status.locations.find((one) => one.location === location)?.reachable ?? true;
  const words = `${inWords(line)}${reachable ? "" : "; as last seen, the location can't be reached"}`;
  const { marks = [], gaps = [] }: Partial<Timeline> = line ?? {};
  return html`<li class="line">
    <span class="where">${location}${reachable ? undefined : html`<small>unreachable</small>`}</span>
    <span class="age ${standingOf(point, now)}"><b>${newest === undefined ? "none" : age(now - newest.time)}</b>
      <small>${objective === undefined ? "no objective" : `of ${formatAge(objective)}`}</small></span>
    <span class="state">${stateOf(point, now)}</span>
    ${timeline(scale, { marks, gaps, newest: newest?.time, objective, now, words })}
    <span class="sum">${line === undefined ? undefined : count(line.count, "point")}</span>
  </li>`;
}

function stateOf(point: PointStatus, now: number): Html | undefined {
  switch (standingOf(point, now)) {
    case "met":
      return html`<span class="tag good">met</span>`;
    case "missed":
      return html`<span class="tag bad">missed</span>`;
    case "never":
      return html`<span class="tag ${point.objective === undefined ? "warn" : "bad"}">never</span>`;
    case "unpromised":
      return undefined;
  }
}

function keyOf({ policy, source, location }: Pick<Timeline, "policy" | "source" | "location">): string {
  return JSON.stringify([policy, source, location]);
}

/** The time line for those who don't see it, and for the details. */
function inWords(line: Timeline | undefined): string {
  if (line === undefined) return "not read yet";
  const oldest = line.marks.at(-1);
  const missed = line.gaps.length === 1 ? "once" : `${line.gaps.length} times`;
  return [
    count(line.count, "recovery point"),
    ...(oldest === undefined ? [] : [`the oldest of ${day(oldest.from)}`]),
    `${line.verified} verified`,
    `${line.held} held`,
    line.gaps.length === 0 ? "no gaps" : `objective missed ${missed}`,
  ].join(", ");
}

function detailsOf({ status, timelines, prunes }: Indexed, point: PointStatus): Html {
  const { location, newest, verified } = point;
  const line = timelines.get(keyOf(point));
  const prune = prunes.get(keyOf(point));
  const proven =
    verified === undefined
      ? html`never`
      : html`the newest of ${moment(verified)} UTC, ${age(status.now - verified)} old`;
  const reasons = prune?.reasons.map(({ reason, count: number }) => `${reason} (${number})`) ?? [];
  const facts: Fact[] = [
    ...(newest === undefined ? [] : newestFacts(newest)),
    ["Verified", proven],
    ["In all", html`${inWords(line)}`],
    ...(line === undefined || line.gaps.length === 0 ? [] : [["Missed", gapList(line)] as const]),
    ...(prune === undefined ? [] : [["Rules", html`${prune.rules}`] as const]),
    ...(reasons.length === 0 ? [] : [["Kept for", html`${reasons.join(", ")}`] as const]),
  ];
  return html`<h4>${location}</h4>${factList(facts)}`;
}

function newestFacts({ id, time, consistency, size, stored, leftOut, duration }: NewestPoint): Fact[] {
  const lacking = leftOut === 0 ? "" : `, ${count(leftOut, "file")} left out`;
  const bytes = `${formatBytes(size)} protected, ${formatBytes(stored)} added, captured in ${formatAge(duration)}`;
  return [
    ["Newest", html`<code>${id.slice(0, 8)}</code> of ${moment(time)} UTC, ${consistency}${lacking}`],
    ["Size", html`${bytes}`],
  ];
}

/** So many gaps are named. */
const mostGaps = 10;

function gapList({ gaps }: Timeline): Html {
  const rest = gaps.length - mostGaps;
  return html`<ul>
    ${gaps.slice(0, mostGaps).map(({ from, to }) => html`<li>${moment(from)} to ${moment(to)} UTC, for ${age(to - from)}</li>`)}
    ${rest > 0 ? html`<li>and ${rest} before</li>` : undefined}
  </ul>`;
}
