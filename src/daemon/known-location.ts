/** What is known of a location: as much as its metrics need, whether it can be reached just now or not. Pure. */
import * as z from "zod";
import { belongsTo } from "../job/belonging.ts";
import { primaryName } from "../job/locations.ts";
import type { Policy } from "../policy/config.ts";
import { consistencies } from "../repository/points/manifest.ts";

const point = z.object({
  id: z.string(),
  time: z.number(),
  source: z.string(),
  policy: z.string(),
  consistency: z.enum(consistencies),
  size: z.number(),
  stored: z.number(),
  leftOut: z.number(),
  /** Of the capture, in ms. */
  duration: z.number(),
});

/** A point's manifest, condensed. Times in ms since the epoch, sizes in bytes. */
export type KnownPoint = Readonly<z.output<typeof point>>;

/** What one look at a location brought, in the form in which the state folder keeps it. */
export const knownLocation = z.object({
  version: z.literal(1),
  /** The folder: what is known of another one is worth nothing. */
  path: z.string(),
  /** When it was looked at. */
  checked: z.number(),
  /** The newest point of each source by each policy that ever captured it. */
  newest: z.array(point),
  /** The newest of those points whose latest verification passed. */
  verified: z.array(point),
  /** How many points each source has. */
  counts: z.array(z.object({ source: z.string(), count: z.number() })),
  /** Ids of all points that are there, and of those forgotten there: what need not be sent. */
  settled: z.array(z.string()),
  /** How many points are dated in the future. */
  inFuture: z.number().optional(),
  sizeBytes: z.number().optional(),
  freeBytes: z.number().optional(),
});

export type KnownLocation = Readonly<z.output<typeof knownLocation>>;

/** A source under a policy at a location: one line of the metrics. */
export interface Series {
  readonly policy: Policy;
  readonly source: string;
  readonly location: string;
  /** The greatest age allowed, in ms. */
  readonly objective: number | undefined;
}

/** Every series that the policies ask for. */
export function seriesOf(policies: readonly Policy[]): Series[] {
  return policies.flatMap((policy) =>
    policy.sources.flatMap(({ name: source }) => [
      { policy, source, location: primaryName, objective: policy.objectives.rpo },
      ...policy.replicate.map(({ replica }) => ({
        policy,
        source,
        location: replica.name,
        objective: policy.objectives.offsiteRpo,
      })),
    ]),
  );
}

/** The newest of `points` that counts for the series. */
export function newestOf(
  points: readonly KnownPoint[],
  series: Series,
  policies: readonly Policy[],
): KnownPoint | undefined {
  const mine = belongsTo(policies, series.policy);
  return (bySource(points).get(series.source) ?? [])
    .filter(mine)
    .reduce<KnownPoint | undefined>(
      (newest, one) => (newest === undefined || one.time > newest.time ? one : newest),
      undefined,
    );
}

type BySource = ReadonlyMap<string, readonly KnownPoint[]>;

/** Sorted out once for each look at a location: every series is asked for at each scrape. */
const sorted = new WeakMap<readonly KnownPoint[], BySource>();

function bySource(points: readonly KnownPoint[]): BySource {
  const before = sorted.get(points);
  if (before !== undefined) return before;
  const map = Map.groupBy(points, ({ source }) => source);
  sorted.set(points, map);
  return map;
}
