/** The recovery points of one source at one location, condensed to what a line can show. Pure. */
import { minute } from "../policy/units.ts";
import type { Gap, Mark } from "./control-protocol.ts";

/** A point of the source, whatever policy has captured it. Times in ms since the epoch. */
export interface TimelinePoint {
  readonly id: string;
  readonly digest: string;
  /** Digest of the source's point before it, by its manifest. */
  readonly previous: string | null;
  /** The instant captured. */
  readonly time: number;
  /** From when on it could be restored from here. */
  readonly arrived: number;
  readonly verified: boolean;
  readonly held: boolean;
}

/** Bins grow with age by this factor at first: at every scale, a bin is too narrow to be told from a point. */
const finest = 1.01;

/**
 * Marks for the points, newest first, at most `most` of them. When there are more points, those of nearly the same age
 * share a mark.
 */
export function marksOf(points: readonly TimelinePoint[], now: number, most: number): Mark[] {
  const newestFirst = points.toSorted((a, b) => b.time - a.time);
  if (newestFirst.length <= most) return newestFirst.map((point) => markOf([point]));
  for (let ratio = finest; ; ratio **= 2) {
    const bins = [...Map.groupBy(newestFirst, ({ time }) => binOf(now - time, ratio)).values()];
    if (bins.length <= most) return bins.map(markOf);
  }
}

function binOf(age: number, ratio: number): number {
  return Math.floor(Math.log(Math.max(age, minute) / minute) / Math.log(ratio));
}

/** Of at least one point, newest first. */
function markOf(points: readonly TimelinePoint[]): Mark {
  const count = (of: (point: TimelinePoint) => boolean): number => points.filter(of).length;
  return {
    id: points[0]?.id ?? "",
    from: points.at(-1)?.time ?? 0,
    to: points[0]?.time ?? 0,
    count: points.length,
    verified: count(({ verified }) => verified),
    held: count(({ held }) => held),
  };
}

/**
 * When the age of the newest point here was over the objective, newest first, without the present. Only what can be proven:
 * points that were forgotten since leave no gap, because the chain of manifests tells that there was something between.
 *
 * `all` are the source's points here under every policy, for the chain; `own` those of the policy in question.
 */
export function gapsOf(own: readonly TimelinePoint[], all: readonly TimelinePoint[], objective: number): Gap[] {
  const byDigest = new Map(all.map((point) => [point.digest, point]));
  const gaps: Gap[] = [];
  let newest: TimelinePoint | undefined;
  for (const point of own.toSorted((a, b) => a.arrived - b.arrived || a.time - b.time)) {
    if (newest !== undefined && point.time <= newest.time) continue;
    if (newest !== undefined && follows(point, newest, byDigest)) {
      const from = newest.time + objective;
      const last = gaps.at(-1);
      if (last !== undefined && from <= last.to && point.arrived > last.to)
        gaps[gaps.length - 1] = { ...last, to: point.arrived };
      else if (point.arrived > from) gaps.push({ from, to: point.arrived });
    }
    newest = point;
  }
  return gaps.toReversed();
}

/** Whether nothing was captured between the two but what is still here. */
function follows(later: TimelinePoint, earlier: TimelinePoint, byDigest: ReadonlyMap<string, TimelinePoint>): boolean {
  let { previous } = later;
  while (previous !== null && previous !== earlier.digest) {
    const between = byDigest.get(previous);
    if (between === undefined || between.time <= earlier.time) return false;
    previous = between.previous;
  }
  return previous === earlier.digest;
}
