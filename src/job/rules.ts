/** A policy's keep rules, applied to the points of one source at one location. */
import type { Policy } from "../policy/config.ts";
import { type Retention, type RetainPoint, retain } from "../policy/retain.ts";
import type { RetentionRules } from "../prune/guard-retention.ts";
import type { CatalogPoint } from "../repository/points/catalog.ts";
import type { Manifest } from "../repository/points/manifest.ts";
import type { Proof } from "../repository/points/small-objects.ts";
import { primaryName } from "./locations.ts";

export interface Judging {
  readonly policy: Policy;
  /** `primary`, or one of the policy's replicas: each has its own rules. */
  readonly location: string;
  /** In ms since the epoch. */
  readonly now: number;
}

/** The policy's rules for a location. */
export function rulesAt({ replicate, keep, schedule, unreplicated }: Policy, location: string): RetentionRules {
  const there = replicate.find(({ replica }) => replica.name === location);
  return { keep: there?.keep ?? keep, timezone: schedule.timezone, unreplicated };
}

/** As much of a point as the rules look at. */
export type JudgedPoint = Pick<CatalogPoint, "id" | "time" | "tags" | "readUntil" | "received"> & {
  readonly hold: object | undefined;
  readonly proof: Pick<Proof, "result"> | undefined;
};

/**
 * What the rules of the location keep of these points, which are of one source. A replica goes by when it received a
 * point, too; `missingAt` names the replicas that want a point of the primary and don't have it, `keptBy` the other policies that keep
 * what belongs to them as well.
 */
export function judge(
  { policy, location, now }: Judging,
  points: readonly JudgedPoint[],
  missingAt: (id: string) => readonly string[] = () => [],
  keptBy: (id: string) => readonly string[] = () => [],
): Retention {
  const { keep, timezone, unreplicated } = rulesAt(policy, location);
  const candidates = points.map(
    ({ id, time, tags, hold, readUntil, proof, received }): RetainPoint => ({
      id,
      time,
      tags,
      held: hold !== undefined,
      readUntil,
      verified: proof?.result === "passed",
      received: location === primaryName ? undefined : received,
      missingAt: missingAt(id),
      keptBy: keptBy(id),
    }),
  );
  return retain(candidates, keep, { now, timezone }, unreplicated);
}

/** The names of those policies that keep a point. */
export function keptByAny(
  policies: readonly { readonly name: string; readonly keep: readonly { readonly id: string }[] }[],
): (id: string) => string[] {
  const kept = policies.map(({ name, keep }) => ({ name, ids: new Set(keep.map(({ id }) => id)) }));
  return (id) => kept.filter(({ ids }) => ids.has(id)).map(({ name }) => name);
}

/** Points of one source are judged together. */
interface OfSource {
  readonly manifest: Pick<Manifest, "source">;
}

/** The ids of the points, which are the location's own, that its rules keep. */
export function keptAt(judging: Judging, points: readonly (JudgedPoint & OfSource)[]): ReadonlySet<string> {
  const bySource = Map.groupBy(points, ({ manifest }) => manifest.source);
  const kept = new Set<string>();
  for (const own of bySource.values()) for (const { id } of judge(judging, own).keep) kept.add(id);
  return kept;
}

/** As much of a point that a replica has as counts for what it is to be sent. */
export type PointThere = Pick<CatalogPoint, "id" | "time" | "received"> & OfSource;

export interface Wanting {
  /** The location that the points are at; the primary by default. */
  readonly from?: string;
  /** The policy's points that a replica has, as far as they are known. */
  readonly there?: (replica: string) => readonly PointThere[];
}

/**
 * The ids of those points, which are at the location `from`, that a replica's rules would keep beside what it has. Others aren't sent: they would
 * be forgotten there at once, and sent again as soon as nothing says so any more. Of the primary's points, a replica that gets them from another one can only
 * have what that one wants, too.
 */
export function wantedAt(
  judging: Judging,
  points: readonly CatalogPoint[],
  { from = primaryName, there = () => [] }: Wanting = {},
): ReadonlySet<string> {
  const { policy, location } = judging;
  // That somebody reads a point here, or has proven it here, keeps it nowhere else.
  const bare = points.map((point) => ({ ...point, readUntil: 0, proof: undefined }));
  const beside = (coming: readonly CatalogPoint[]): ReadonlySet<string> =>
    keptAt(judging, [...coming, ...placesTaken(there(location), coming)]);
  if (from !== primaryName) return beside(bare);
  const origin = policy.replicate.find(({ replica }) => replica.name === location)?.from;
  const given = origin === undefined ? undefined : wantedAt({ ...judging, location: origin }, points, { there });
  const coming = given === undefined ? bare : bare.filter(({ id }) => given.has(id));
  // At the primary nothing was received: the claimed times are this host's own.
  return beside(coming.map((point) => ({ ...point, received: point.time })));
}

/**
 * The points that only the replica has: a newer one has the place of what the primary has kept of that month, say. None of them
 * takes the place of the newest that comes: if it is younger, another host has sent it, or a clock was wrong.
 *
 * By the view that goes by receipt, what comes will stand at its own receipt and not in places that are free there. So only the
 * time claimed counts, unless the point was received before that.
 */
function placesTaken(there: readonly PointThere[], coming: readonly CatalogPoint[]): (JudgedPoint & OfSource)[] {
  const ids = new Set(coming.map(({ id }) => id));
  const newest = new Map<string, number>();
  for (const { time, manifest } of coming)
    newest.set(manifest.source, Math.max(time, newest.get(manifest.source) ?? time));
  return there
    .filter(({ id, time, manifest }) => !ids.has(id) && time < (newest.get(manifest.source) ?? time))
    .map(({ id, time, received, manifest }) => ({
      id,
      time,
      received: Math.min(time, received),
      manifest,
      tags: [],
      readUntil: 0,
      hold: undefined,
      proof: undefined,
    }));
}
