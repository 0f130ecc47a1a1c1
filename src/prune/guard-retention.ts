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
}

/** What a plan does with a source: how many of its points stay, and how many go. */
export interface PlannedCounts {
  readonly source: string;
  readonly keep: { readonly length: number };
  readonly remove: { readonly length: number };
}

/** A source that would lose more than may go at once. */
export interface Excess {
  readonly source: string;
  readonly points: number;
  readonly forgotten: number;
}

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

/**
 * The sources of a plan that would lose more than `share` (0 to 1) of their points by rules that were never applied to them.
 * What rules have once kept low may go by the same rules in any number: after a pause, say.
 */
export function excessesOf(
  groups: readonly PlannedCounts[],
  rules: RetentionRules,
  applied: AppliedRules | undefined,
  share: number,
): Excess[] {
  const usual = applied !== undefined && fingerprintOf(applied.rules) === fingerprintOf(rules) ? applied.sources : [];
  return groups.flatMap(({ source, keep, remove }) => {
    const points = keep.length + remove.length;
    const tooMany = remove.length > share * points && !usual.includes(source);
    return tooMany ? [{ source, points, forgotten: remove.length }] : [];
  });
}
