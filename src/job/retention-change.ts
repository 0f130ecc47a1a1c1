/** Whether a prune may do what it has planned: new keep rules that would forget much at once wait until someone accepts them. */
import { StillpointError } from "../errors.ts";
import {
  type AppliedRules,
  type Excess,
  excessesOf,
  fingerprintOf,
  inheritedAfter,
  type PlannedCounts,
  type RetentionRules,
  spentAfter,
} from "../prune/guard-retention.ts";
import type { Acceptance, PrunePlace, RetentionRecords } from "./retention-records.ts";

/** Where a change is judged, and by what. */
export interface Judgement {
  readonly place: PrunePlace;
  /** Where that is: `placeOf` its address. */
  readonly at: string;
  /** In ms since the epoch. */
  readonly now: number;
  /** The share of a source's points that may go at once, 0 to 1. */
  readonly share: number;
  readonly records: RetentionRecords;
}

/** From the rules that a location was pruned by before to those that it shall be pruned by now, often the same. */
export interface RetentionChange extends Judgement {
  /** Undefined when no prune is known. */
  readonly before: AppliedRules | undefined;
  readonly after: AppliedRules;
  /** The sources that would lose more than may go at once. */
  readonly excesses: readonly Excess[];
  /** The last that was given and not used up, for whichever rules. */
  readonly acceptance: Acceptance | undefined;
}

export async function judgeChange(
  judgement: Judgement,
  rules: RetentionRules,
  { groups }: { readonly groups: readonly PlannedCounts[] },
): Promise<RetentionChange> {
  const { place, at, now, share, records } = judgement;
  const before = await records.applied(place, at);
  const acceptance = await records.accepted(place);
  const change = { rules, applied: before, now };
  const excesses = excessesOf(groups, change, share);
  // What somebody has accepted isn't held against the next edit.
  const spent = excesses.length > 0 ? {} : spentAfter(groups, change);
  const inherited = inheritedAfter(groups, change, excesses);
  const after = { rules, sources: groups.map(({ source }) => source), at, spent, inherited };
  return { ...judgement, before, after, excesses, acceptance };
}

/** Whether the prune must wait for `stillpoint config accept`. */
export function isBlocked({ after, excesses, acceptance }: RetentionChange): boolean {
  return excesses.length > 0 && acceptance?.fingerprint !== fingerprintOf(after.rules);
}

/**
 * Does the work, unless the change is blocked, and when it is complete, remembers that the new rules are the usual ones now. An
 * acceptance is used up by that; one for other rules has expired. Throws `retention_guarded`, what `work` throws, and what writing to
 * the state folder throws.
 */
export async function carryOutChange<Done extends { readonly complete: boolean }>(
  change: RetentionChange,
  work: () => Promise<Done>,
): Promise<Done> {
  const { place, after, before, acceptance, records } = change;
  if (isBlocked(change)) {
    if (acceptance !== undefined) await records.expire(place);
    throw blockedError(change);
  }
  const done = await work();
  if (!done.complete) return done;
  if (before === undefined || !isSame(before, after)) await records.apply(place, after);
  if (acceptance !== undefined) await records.expire(place);
  return done;
}

function isSame(before: AppliedRules, after: AppliedRules): boolean {
  const [known, now] = [before, after].map(({ sources, inherited }) => JSON.stringify([sources, inherited]));
  return known === now && fingerprintOf(before.rules) === fingerprintOf(after.rules);
}

/** The error of a prune that is blocked, to be thrown or shown. */
export function blockedError({ place, excesses, share }: RetentionChange): StillpointError {
  const over = excesses.filter(({ goesOn }) => !goesOn).map(describeExcess);
  const going = excesses.filter(({ goesOn }) => goesOn).map(describeExcess);
  const much = `more than the ${String(Math.round(share * 100))} % of \`retention_guard\``;
  const lost = [
    ...(over.length > 0 ? [`${over.join(", ")}, ${much}`] : []),
    ...(going.length > 0 ? [`${going.join(", ")}, which goes on and isn't in this configuration`] : []),
  ];
  const allow = "Look at them with `stillpoint config diff`; then allow it with `stillpoint config accept`";
  return new StillpointError("retention_guarded", {
    what: `Cannot prune ${place.policy} at ${place.location}: its keep rules are new there and would forget ${lost.join("; ")}`,
    safe: "Nothing was deleted there; all else goes on.",
    next: `${allow}, or ${going.length > 0 ? "put that policy into this configuration" : "take the change back"}.`,
  });
}

/** `12 of 14 recovery points of etc`. */
export function describeExcess({ source, from, points, forgotten }: Excess): string {
  const captured = from === undefined ? "" : ` that were captured by ${from}`;
  return `${String(forgotten)} of ${String(points)} recovery points of ${source}${captured}`;
}
