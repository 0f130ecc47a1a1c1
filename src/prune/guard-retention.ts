/** Keeps a mistake in the keep rules from deleting a history at once. Pure (docs/decisions/0041-retention-guard.md). */
import { createHash } from "node:crypto";
import type { Retention, UnreplicatedCap } from "../policy/retain.ts";
import { countedRules, type KeepRules, periodRules } from "../policy/retention.ts";
import type { CatalogPoint } from "../repository/points/catalog.ts";

/** Everything of the configuration that decides what a location keeps of a policy's points. */
export interface RetentionRules {
  readonly keep: KeepRules;
  readonly timezone: string;
  readonly unreplicated: UnreplicatedCap;
}

/** Rules by which a policy has been pruned at a location, and the sources whose points they were applied to. */
export interface AppliedRules {
  readonly rules: RetentionRules;
  readonly sources: readonly string[];
  /** The place where that was, since the location's name may be given to another one. */
  readonly at: string;
  /** By source: what rules that were new there have given up lately, and nobody has accepted. */
  readonly spent: Readonly<Record<string, Spent>>;
  /** The inherited points for which the rules are the usual ones, too. */
  readonly inherited: readonly AppliedInherited[];
}

/** The points of a source that one policy captured, to which the rules of another were applied as well. */
export interface AppliedInherited {
  readonly source: string;
  readonly from: string;
  /** When they were first, in ms since the epoch. */
  readonly since: number;
}

export interface Spent {
  /** When it began, in ms since the epoch. */
  readonly since: number;
  readonly points: number;
}

/** What a plan does with a source: how many of its points stay, how many of these only for now, and how many go. */
export interface PlannedCounts {
  readonly source: string;
  readonly keep: { readonly length: number };
  readonly deferred: { readonly length: number };
  readonly remove: { readonly length: number };
  readonly inherited: readonly Inherited[];
}

/** Points of a source that another policy captured, which is in the configuration no more or has the source no more. */
export interface Inherited {
  /** That policy. */
  readonly from: string;
  readonly points: number;
  /** When the newest was captured that isn't dated in the future, in ms since the epoch. */
  readonly newest: number;
  /** How many go, and how many stay only for now. */
  readonly remove: number;
  readonly deferred: number;
  /** How many stay only because another heir keeps them. */
  readonly shared: number;
}

/** What of the points of a source a policy has inherited, and what becomes of it. */
export function inheritedOf(
  policy: string,
  points: readonly CatalogPoint[],
  { remove, deferred, shared }: Pick<Retention, "remove" | "deferred" | "shared">,
  now: number,
): Inherited[] {
  const others = points.filter(({ manifest }) => manifest.policy !== policy);
  const [going, passing, kept] = [new Set(remove), new Set(deferred), new Set(shared)];
  return [...Map.groupBy(others, ({ manifest }) => manifest.policy)].map(([from, its]) => {
    const among = (ids: ReadonlySet<string>): number => its.filter(({ id }) => ids.has(id)).length;
    const newest = its.reduce((last, { time }) => (time <= now ? Math.max(last, time) : last), 0);
    return { from, points: its.length, newest, remove: among(going), deferred: among(passing), shared: among(kept) };
  });
}

/** A source that would lose more than may go at once. */
export interface Excess {
  readonly source: string;
  /** The policy that captured these points, when it isn't about all of the source. */
  readonly from: string | undefined;
  /** Whether that policy has captured more of them since the rules were first applied to its points: then none may go unasked. */
  readonly goesOn: boolean;
  /** All that are there, and those that went lately by other new rules. */
  readonly points: number;
  readonly forgotten: number;
}

/** In ms: edits within that time are judged together. */
const editsTogether = 30 * 86_400_000;

/** The same for the same rules, however they are written: 64 hex digits. */
export function fingerprintOf({ keep, timezone, unreplicated }: RetentionRules): string {
  const periods = periodRules.map((rule) => {
    const { years, months, days, hours } = keep[rule] ?? { years: 0, months: 0, days: 0, hours: 0 };
    return [years, months, days, hours];
  });
  const counts = countedRules.map((rule) => keep[rule] ?? 0);
  const all = [counts, periods, keep.tags ?? [], timezone, unreplicated.count, unreplicated.age];
  return createHash("sha256").update(JSON.stringify(all)).digest("hex");
}

/** What is known of a change of the rules at one location. */
export interface RulesChange {
  readonly rules: RetentionRules;
  /** Undefined when no prune is known there. */
  readonly applied: AppliedRules | undefined;
  /** In ms since the epoch. */
  readonly now: number;
}

/** What is given up of some points by rules that are new to them. */
interface Loss {
  readonly from: string | undefined;
  readonly goesOn: boolean;
  readonly points: number;
  readonly given: number;
}

interface SourceLosses {
  readonly losses: readonly Loss[];
  /** Of all of them; what is in two counts once. */
  readonly given: number;
  /** What other new rules gave up lately. */
  readonly spent: Spent;
}

/** What a plan gives up of a source by rules that are new to it, or to what was inherited from some policy. */
function lossesOf({ rules, applied, now }: RulesChange, group: PlannedCounts): SourceLosses {
  const { source, keep, deferred, remove, inherited } = group;
  const last = applied?.spent[source];
  const spent = last !== undefined && now - last.since < editsTogether ? last : { since: now, points: 0 };
  // When nothing is known, what a lock or a dead replica keeps here was perhaps given up long ago.
  const given = remove.length + (applied === undefined ? 0 : deferred.length);
  const all = { from: undefined, points: keep.length + remove.length, given, goesOn: false };
  if (applied?.sources.includes(source) !== true) return { losses: [all], given, spent };
  const foreign = inherited.flatMap((one): Loss[] => {
    const since = sinceOf(applied, source, one.from);
    if (since !== undefined && one.newest <= since) return [];
    return [{ from: one.from, points: one.points, given: one.remove + one.deferred, goesOn: since !== undefined }];
  });
  if (fingerprintOf(applied.rules) !== fingerprintOf(rules)) return { losses: [all, ...foreign], given, spent };
  return { losses: foreign, given: foreign.reduce((sum, one) => sum + one.given, 0), spent };
}

function sinceOf(applied: AppliedRules | undefined, source: string, from: string): number | undefined {
  return applied?.inherited.find((one) => one.source === source && one.from === from)?.since;
}

/**
 * The sources of a plan that would lose more than `share` (0 to 1) of their points by rules that were never applied to them,
 * together with what other new rules gave up lately; or more than that of what was inherited from one policy. What rules have once kept low
 * may go by the same rules in any number: after a pause, say.
 */
export function excessesOf(groups: readonly PlannedCounts[], change: RulesChange, share: number): Excess[] {
  return groups.flatMap((group) => {
    const { losses, spent } = lossesOf(change, group);
    return losses.flatMap(({ from, points, given, goesOn }): Excess[] => {
      const before = from === undefined ? spent.points : 0;
      const excess = { source: group.source, from, goesOn, points: points + before, forgotten: given + before };
      const most = goesOn && share < 1 ? 0 : share * excess.points;
      return given > 0 && excess.forgotten > most ? [excess] : [];
    });
  });
}

/** What is to be remembered as spent when the plan has been carried out. */
export function spentAfter(groups: readonly PlannedCounts[], change: RulesChange): Record<string, Spent> {
  const entries = groups.flatMap((group): [string, Spent][] => {
    const { given, spent } = lossesOf(change, group);
    const points = given + spent.points;
    return points === 0 ? [] : [[group.source, { since: spent.since, points }]];
  });
  return Object.fromEntries(entries);
}

/**
 * What is to be remembered as inherited then. Of a source that is new to the rules it is all that is there: they were judged by that, too.
 * Of another one, what has been accepted, and what the rules, and those of all other heirs, have given something up of.
 */
export function inheritedAfter(
  groups: readonly PlannedCounts[],
  { applied, now }: RulesChange,
  excesses: readonly Excess[],
): AppliedInherited[] {
  return groups.flatMap(({ source, inherited }) => {
    const isNew = applied?.sources.includes(source) !== true;
    const isAccepted = excesses.some((excess) => excess.source === source);
    return inherited.flatMap(({ from, remove, deferred, shared }) => {
      const before = sinceOf(applied, source, from);
      const isJudged = isNew || (remove + deferred > 0 && shared === 0);
      const since = isAccepted ? now : (before ?? (isJudged ? now : undefined));
      return since === undefined ? [] : [{ source, from, since }];
    });
  });
}
