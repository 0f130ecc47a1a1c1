/** Which recovery points of a location are to be forgotten, and why the others stay. Pure. */
import { StillpointError } from "../errors.ts";
import { retain, type RetainPoint, type UnreplicatedCap } from "../policy/retain.ts";
import type { KeepRules, Kept } from "../policy/retention.ts";
import type { CatalogPoint } from "../repository/points/catalog.ts";
import { type Inherited, inheritedOf } from "./guard-retention.ts";

/** The points of one source under one policy, with the rules that the policy has for this location. */
export interface PruneGroup {
  readonly policy: string;
  readonly source: string;
  readonly points: readonly CatalogPoint[];
  readonly keep: KeepRules;
  readonly timezone: string;
  readonly cap: UnreplicatedCap;
  /** At the primary: the replicas that a point is meant for and that don't have it yet. */
  readonly missingAt?: ((id: string) => readonly string[]) | undefined;
  /** The other policies that a point belongs to as well and that keep it. */
  readonly keptBy?: ((id: string) => readonly string[]) | undefined;
  /** At a replica that locks: until when, in ms since the epoch, by the point's id. */
  readonly locked?: ReadonlyMap<string, number> | undefined;
}

export interface PruneInput {
  /** For messages. */
  readonly location: string;
  /** A replica judges by when it received a point, too. */
  readonly replica: boolean;
  /** In ms since the epoch. */
  readonly now: number;
  readonly groups: readonly PruneGroup[];
  /** Names of objects that can't be read: a hold among them counts as one. */
  readonly damaged?: readonly string[];
}

export interface KeptPoint extends Kept {
  /** The instant captured, in ms since the epoch. */
  readonly time: number;
}

/** What happens to the points of one source: every one is in `keep` or in `remove`. */
export interface PlannedGroup {
  readonly policy: string;
  readonly source: string;
  /** Newest first. */
  readonly keep: readonly KeptPoint[];
  /** Oldest first. */
  readonly remove: readonly CatalogPoint[];
  /** Of those: points that a replica still lacks, given up because the cap is reached. */
  readonly givenUp: readonly string[];
  /** Ids of those in `keep` that go when something has passed: a lock, a reader, a replica's lack of them. */
  readonly deferred: readonly string[];
  /** What of all these the policy hasn't captured itself. */
  readonly inherited: readonly Inherited[];
}

export interface PrunePlan {
  readonly location: string;
  readonly groups: readonly PlannedGroup[];
}

/** @throws StillpointError `internal` for a plan that would leave a source without any point: the rules' guards make that impossible. */
export function planPrune(input: PruneInput): PrunePlan {
  return { location: input.location, groups: input.groups.map((group) => planGroup(input, group)) };
}

function planGroup({ location, now, replica, damaged = [] }: PruneInput, group: PruneGroup): PlannedGroup {
  const { policy, source, points, keep: rules, timezone, cap } = group;
  const unclear = new Set(
    damaged.filter((name) => name.startsWith("holds/")).map((name) => name.slice("holds/".length)),
  );
  const candidates = points.map(
    ({ id, time, tags, hold, readUntil, proof, received }): RetainPoint => ({
      id,
      time,
      tags,
      held: hold !== undefined || unclear.has(id),
      readUntil,
      verified: proof?.result === "passed",
      received: replica ? received : undefined,
      missingAt: group.missingAt?.(id),
      keptBy: group.keptBy?.(id),
      lockedUntil: group.locked?.get(id),
    }),
  );
  const retention = retain(candidates, rules, { now, timezone }, cap);
  const { keep, remove, givenUp, deferred } = retention;
  if (points.length > 0 && keep.length === 0) {
    throw new StillpointError("internal", {
      what: `Cannot prune ${location}: every recovery point of ${source} would be forgotten`,
      safe: "Nothing was deleted.",
      next: `Look at the keep rules of ${policy}.`,
    });
  }
  const gone = new Set(remove);
  const times = new Map(points.map(({ id, time }) => [id, time]));
  const kept = keep.map((one): KeptPoint => ({ ...one, time: times.get(one.id) as number }));
  const removed = points.filter(({ id }) => gone.has(id));
  return {
    policy,
    source,
    keep: kept,
    remove: removed,
    givenUp,
    deferred,
    inherited: inheritedOf(policy, points, retention, now),
  };
}
