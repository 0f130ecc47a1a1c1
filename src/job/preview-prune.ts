/** What pruning will forget after the next capture, and why the rest stays. Pure. */
import type { Policy } from "../policy/config.ts";
import { describeRules } from "../policy/retention.ts";
import { type Inherited, inheritedOf } from "../prune/guard-retention.ts";
import type { CatalogPoint } from "../repository/points/catalog.ts";
import { judge, type JudgedPoint, rulesAt } from "./rules.ts";

/** Of one source under one policy at one location. Times in ms since the epoch. */
export interface PrunePreview {
  readonly policy: string;
  readonly source: string;
  readonly location: string;
  /** When it is expected: with the next run, or now. */
  readonly time: number;
  /** The rules there, in words: `last 3, daily 7`. */
  readonly rules: string;
  /** How many of today's points stay, and how many of them for which reason; a point may have several. */
  readonly keep: number;
  readonly reasons: readonly { readonly reason: string; readonly count: number }[];
  /** How many of those that stay do so only for now: while they are read, or a replica lacks them. */
  readonly deferred: number;
  /** How many go, and the oldest of them. */
  readonly remove: number;
  readonly oldest: readonly { readonly id: string; readonly time: number }[];
  /** How many of these a replica still lacks: given up because the cap is reached. */
  readonly givenUp: number;
  /** Whether nothing goes before `stillpoint config accept`, because the rules are new and would forget much at once. */
  readonly heldBack: boolean;
}

/** Before it is known what the policy's other sources at the location would lose. */
export interface SourcePreview {
  readonly preview: Omit<PrunePreview, "heldBack">;
  readonly inherited: readonly Inherited[];
}

export interface PreviewRequest {
  readonly policy: Policy;
  readonly source: string;
  readonly location: string;
  /** In ms since the epoch. */
  readonly now: number;
  /** When the policy runs next; undefined when it does only when asked to. */
  readonly nextRun: number | undefined;
  /** Of the source under the policy, at the location. */
  readonly points: readonly CatalogPoint[];
  /** Names of objects there that can't be read: a hold among them counts as one. */
  readonly damaged: ReadonlySet<string>;
  /** At the primary: the replicas that a point is meant for and that lack it. */
  readonly missingAt: (id: string) => readonly string[];
  /** The other policies that a point belongs to as well and that keep it. */
  readonly keptBy: (id: string) => readonly string[];
}

/** So many of the points that go are named. */
const mostNamed = 20;
/** Stands for the point that the next run will capture. */
const coming = "the next one";

/** As if the next run captured at its time: its point takes part, as it will. */
export function previewPrune(request: PreviewRequest): SourcePreview {
  const { policy, source, location, now, nextRun, points, damaged, missingAt, keptBy } = request;
  const time = Math.max(now, nextRun ?? now);
  const { tags = [] } = policy.sources.find(({ name }) => name === source) ?? {};
  const next: JudgedPoint = { id: coming, time, received: time, tags, hold: undefined, readUntil: 0, proof: undefined };
  const isUnclear = ({ id }: CatalogPoint): boolean => damaged.has(`holds/${id}`);
  const judged = points.map((point) => (isUnclear(point) ? { ...point, hold: unclear } : point));
  const retention = judge({ policy, location, now: time }, [...judged, next], missingAt, keptBy);
  const { keep, remove, givenUp, deferred } = retention;
  const kept = keep.filter(({ id }) => id !== coming);
  const gone = new Set(remove);
  const preview = {
    policy: policy.name,
    source,
    location,
    time,
    rules: describeRules(rulesAt(policy, location).keep),
    keep: kept.length,
    reasons: [
      ...Map.groupBy(
        kept.flatMap(({ reasons }) => reasons),
        (reason) => reason,
      ),
    ]
      .map(([reason, all]) => ({ reason, count: all.length }))
      .toSorted((a, b) => b.count - a.count),
    remove: remove.length,
    oldest: points
      .filter(({ id }) => gone.has(id))
      .slice(0, mostNamed)
      .map(({ id, time: captured }) => ({ id, time: captured })),
    givenUp: givenUp.length,
    deferred: deferred.filter((id) => id !== coming).length,
  };
  return { preview, inherited: inheritedOf(policy.name, points, retention, now) };
}

const unclear = { reason: "it can't be read" };
