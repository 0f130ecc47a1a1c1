/** Drawings, as SVG that stretches to its width: lines keep their thickness, so a point is as wide at every size. */
import type { Gap, LocationSizes, Mark } from "../control-protocol.ts";
import { Html, html } from "./html.ts";
import { at, type Scale, ticksOf } from "./scale.ts";

const height = 24;
const middle = height / 2;
/** In thousandths of the width: from there on a label would touch the one for now. On a phone, where `late` ones are hidden, it is earlier. */
const roomForNow = 945;

/** The labels of the axis. Drawn apart from the lines: text must not be stretched. */
export function axis(scale: Scale): Html {
  const labels = ticksOf(scale)
    .filter(({ x }) => x < roomForNow)
    .map(
      ({ x, label }) =>
        html`<text class="${x > 880 ? "late" : ""}" x="${x / 10}%" y="13" text-anchor="middle">${label}</text>`,
    );
  return html`<svg class="axis" aria-hidden="true">${labels}<text class="now" x="100%" y="13" text-anchor="end">now</text></svg>`;
}

export interface Line {
  readonly marks: readonly Mark[];
  readonly gaps: readonly Gap[];
  /** Instant of the newest point, and the greatest age allowed. */
  readonly newest: number | undefined;
  readonly objective: number | undefined;
  readonly now: number;
  /** All of it, in words. */
  readonly words: string;
}

/** The time line of one source at one location. */
export function timeline(scale: Scale, line: Line): Html {
  const { now, newest, objective, words } = line;
  const x = (time: number): number => at(scale, time);
  const marks = line.marks.filter(({ to }) => to >= scale.from);
  const gaps = [...line.gaps, ...present(line)].filter(({ to }) => to >= scale.from);
  const single = marks.filter(({ from, to }) => x(from) === x(to));
  const many = marks.filter(({ from, to }) => x(from) !== x(to));
  const promise =
    objective === undefined
      ? undefined
      : html`<path class="promise" d="M${x(now - objective)} ${height}H${x(now)}V0H${x(now - objective)}Z"/>`;
  const latest =
    newest === undefined || newest < scale.from ? undefined : html`<path class="latest" d="M${x(newest)} 2V22"/>`;
  return html`<svg class="timeline" viewBox="0 0 1000 ${height}" preserveAspectRatio="none" role="img" aria-label="${words}">${[
    html`<path class="grid" d="${ticksOf(scale)
      .map((tick) => `M${tick.x} 0V${height}`)
      .join("")}"/>`,
    ...(promise === undefined ? [] : [promise]),
    html`<path class="base" d="M0 ${middle}H${x(now)}"/>`,
    path(
      "gap",
      gaps.map(({ from, to }) => `M${x(from)} ${middle}H${x(to)}`),
    ),
    path(
      "points",
      many.map(({ from, to }) => `M${x(from)} ${middle}H${x(to)}`),
      "many",
    ),
    path(
      "points",
      single.map(({ to }) => `M${x(to)} 6V18`),
    ),
    ...(latest === undefined ? [] : [latest]),
    path(
      "verified",
      marks.filter(({ verified }) => verified > 0).map(({ to }) => `M${x(to)} 3h0`),
    ),
    path(
      "held",
      marks.filter(({ held }) => held > 0).map(({ to }) => `M${x(to)} 21h0`),
    ),
  ]}</svg>`;
}

/** While the newest point is too old, that is a gap that goes on. */
function present({ newest, objective, now }: Line): Gap[] {
  if (newest === undefined || objective === undefined || now <= newest + objective) return [];
  return [{ from: newest + objective, to: now }];
}

function path(name: string, pieces: readonly string[], more = ""): Html {
  return pieces.length === 0 ? new Html("") : html`<path class="${name} ${more}" d="${pieces.join("")}"/>`;
}

/** The size of a repository over time, as an area that begins at zero. */
export function sizeChart(scale: Scale, samples: LocationSizes["samples"], words: string): Html {
  const before = samples.findLast(({ time }) => time < scale.from);
  const shown = [...(before === undefined ? [] : [before]), ...samples.filter(({ time }) => time >= scale.from)];
  const most = Math.max(1, ...shown.map(({ bytes }) => bytes));
  const y = (bytes: number): number => Math.round((38 - (bytes / most) * 34) * 10) / 10;
  const [first] = shown;
  const last = shown.at(-1);
  if (first === undefined || last === undefined) return html`<p class="quiet">no size known yet</p>`;
  const line = shown
    .map(({ time, bytes }) => `L${at(scale, time)} ${y(bytes)}`)
    .join("")
    .slice(1);
  return html`<svg class="size" viewBox="0 0 1000 40" preserveAspectRatio="none" role="img" aria-label="${words}"><path class="area" d="M${at(scale, first.time)} 40L${line}V40Z"/><path class="edge" d="M${line}"/></svg>`;
}
