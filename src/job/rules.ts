/** A policy's keep rules, applied to the points of one source at one location. */
import type { Policy } from "../policy/config.ts";
import { type Retention, type RetainPoint, retain } from "../policy/retain.ts";
import type { RetentionRules } from "../prune/guard-retention.ts";
import type { CatalogPoint } from "../repository/points/catalog.ts";
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
 * point, too; `missingAt` names the replicas that want a point of the primary and don't have it.
 */
export function judge(
  { policy, location, now }: Judging,
  points: readonly JudgedPoint[],
  missingAt: (id: string) => readonly string[] = () => [],
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
    }),
  );
  return retain(candidates, keep, { now, timezone }, unreplicated);
}

/** The ids of the points, which are the location's own, that its rules keep. */
export function keptAt(judging: Judging, points: readonly CatalogPoint[]): ReadonlySet<string> {
  const bySource = Map.groupBy(points, ({ manifest }) => manifest.source);
  const kept = new Set<string>();
  for (const own of bySource.values()) for (const { id } of judge(judging, own).keep) kept.add(id);
  return kept;
}

/**
 * The ids of those points, which are at the location `from`, that a replica's rules would keep. Others aren't sent: they would
 * be forgotten there at once, and sent again at the next run. Of the primary's points, a replica that gets them from another one can only
 * have what that one wants, too.
 */
export function wantedAt(
  judging: Judging,
  points: readonly CatalogPoint[],
  from: string = primaryName,
): ReadonlySet<string> {
  // That somebody reads a point here keeps it nowhere else.
  const unread = points.map((point) => ({ ...point, readUntil: 0 }));
  if (from !== primaryName) return keptAt(judging, unread);
  const origin = judging.policy.replicate.find(({ replica }) => replica.name === judging.location)?.from;
  const there = origin === undefined ? undefined : wantedAt({ ...judging, location: origin }, points);
  const coming = there === undefined ? unread : unread.filter(({ id }) => there.has(id));
  // At the primary nothing was received: the claimed times are this host's own.
  return keptAt(
    judging,
    coming.map((point) => ({ ...point, received: point.time })),
  );
}
