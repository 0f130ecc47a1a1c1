/** Each location: whether it can be reached, how large it is and was, what it lacks. */
import { count, formatBytes } from "../../cli/format.ts";
import type { LocationSizes, LocationStatus } from "../control-protocol.ts";
import { sizeChart } from "./charts.ts";
import { type Html, html } from "./html.ts";
import type { Picture } from "./sources.ts";
import { age, day, factList } from "./words.ts";

export function locationsSection(picture: Picture): Html {
  return html`<section class="places" aria-labelledby="locations">
    <h2 id="locations">Locations</h2>
    <div class="locations">${picture.status.locations.map((location) => card(location, picture))}</div>
  </section>`;
}

function card(one: LocationStatus, { status: { now }, history, scale }: Picture): Html {
  const { location, sizeBytes, freeBytes, lastSweep, lastCheck, findings = 0 } = one;
  const samples = history?.sizes.find((sizes) => sizes.location === location)?.samples ?? [];
  const ago = (time: number | undefined): string => (time === undefined ? "never" : `${age(now - time)} ago`);
  const damage = findings === 0 ? "" : `; then found damage: ${count(findings, "finding")}`;
  return html`<article class="location">
    <h3>${location}</h3> ${stateOf(one)}
    <p class="bytes"><b>${sizeBytes === undefined ? "unknown" : formatBytes(sizeBytes)}</b> stored</p>
    ${sizeChart(scale, samples, inWords(location, samples))}
    ${factList([
      ["Free", html`${freeBytes === undefined ? "unknown" : formatBytes(freeBytes)}`],
      ["Points", html`${one.points.reduce((sum, { count: points }) => sum + points, 0)}`],
      ...(location === "primary" ? [] : [["Lacks", html`${lacking(one)}`] as const]),
      ...inReplications(one),
      ["Swept", html`${ago(lastSweep)}`],
      ["Checked", html`${ago(lastCheck)}${damage}`],
    ])}
  </article>`;
}

function stateOf({ location, reachable, error }: LocationStatus): Html {
  if (reachable) return html`<span class="tag good">reachable</span>`;
  if (error === undefined) return html`<span class="tag">not looked at yet</span>`;
  return html`<span class="tag ${location === "primary" ? "bad" : "warn"}">unreachable</span>`;
}

function lacking({ backlog }: LocationStatus): string {
  const all = backlog
    .filter(({ points }) => points > 0)
    .map(({ policy, points, bytes }) => `${policy}: ${count(points, "point")}, ${formatBytes(bytes)}`);
  return all.length === 0 ? "nothing" : all.join("; ");
}

/** What isn't as usual of how points get there: from another replica, or without the locks that they are to have. */
function inReplications({ replications }: LocationStatus): (readonly [string, Html])[] {
  const origins = replications.filter(({ from }) => from !== "primary");
  const bare = replications.filter(({ unlocked = 0 }) => unlocked > 0);
  return [
    ...origins.map(({ policy, from }) => ["From", html`${from} (${policy})`] as const),
    ...bare.map(({ policy, unlocked = 0 }) => ["Not locked", html`${policy}: ${count(unlocked, "point")}`] as const),
  ];
}

function inWords(location: string, samples: LocationSizes["samples"]): string {
  const [first] = samples;
  const last = samples.at(-1);
  const known =
    first === undefined || last === undefined
      ? "unknown"
      : `${formatBytes(first.bytes)} on ${day(first.time)}, ${formatBytes(last.bytes)} on ${day(last.time)}`;
  return `Size of ${location} over time: ${known}`;
}
