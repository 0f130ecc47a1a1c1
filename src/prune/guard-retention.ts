/** Keeps a mistake in the keep rules from deleting a history at once. Pure (docs/decisions/0041-retention-guard.md). */
import { createHash } from "node:crypto";
import type { UnreplicatedCap } from "../policy/retain.ts";
import { countedRules, type KeepRules, periodRules } from "../policy/retention.ts";

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
}

/** A source that would lose more than may go at once. */
export interface Excess {
  readonly source: string;
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

/** How many points of a source the rules give up, if they are new to it, and what other new rules gave up lately. */
function lossOf(change: RulesChange, { source, deferred, remove }: PlannedCounts): { given: number; spent: Spent } {
  const { rules, applied, now } = change;
  const usual = applied !== undefined && fingerprintOf(applied.rules) === fingerprintOf(rules);
  const known = applied?.spent[source];
  const spent = known !== undefined && now - known.since < editsTogether ? known : { since: now, points: 0 };
  if (usual && applied.sources.includes(source)) return { given: 0, spent };
  // When nothing is known, what a lock or a dead replica keeps here was perhaps given up long ago.
  return { given: remove.length + (applied === undefined ? 0 : deferred.length), spent };
}

/**
 * The sources of a plan that would lose more than `share` (0 to 1) of their points by rules that were never applied to them,
 * together with what other new rules gave up lately. What rules have once kept low may go by the same rules in any number: after a pause, say.
 */
export function excessesOf(groups: readonly PlannedCounts[], change: RulesChange, share: number): Excess[] {
  return groups.flatMap((group) => {
    const { given, spent } = lossOf(change, group);
    const points = group.keep.length + group.remove.length + spent.points;
    const forgotten = given + spent.points;
    return given > 0 && forgotten > share * points ? [{ source: group.source, points, forgotten }] : [];
  });
}

/** What is to be remembered as spent when the plan has been carried out. */
export function spentAfter(groups: readonly PlannedCounts[], change: RulesChange): Record<string, Spent> {
  const entries = groups.flatMap((group): [string, Spent][] => {
    const { given, spent } = lossOf(change, group);
    const points = given + spent.points;
    return points === 0 ? [] : [[group.source, { since: spent.since, points }]];
  });
  return Object.fromEntries(entries);
}
