/** What the next prunes would forget because of rules that are new: for `config diff` and `config accept`. Changes nothing. */
import { isStillpointError } from "../errors.ts";
import { primaryName } from "../job/locations.ts";
import { judgementOf, type PruneContext, surveyPrune } from "../job/prune-stage.ts";
import { type ErrorReport, errorReport } from "../job/report.ts";
import { isBlocked, judgeChange, type RetentionChange } from "../job/retention-change.ts";
import { rulesAt } from "../job/rules.ts";
import type { Config, Policy } from "../policy/config.ts";
import { fingerprintOf, type RetentionRules } from "../prune/guard-retention.ts";
import type { PlannedGroup, PrunePlan } from "../prune/plan-prune.ts";
import type { Cli } from "./cli.ts";
import { lookingContext } from "./looking-context.ts";

/** At a location where a policy's rules are new, or new to some of the points. */
export interface RetentionPlan {
  readonly policy: string;
  readonly location: string;
  /** The sources that lose something. */
  readonly sources: readonly SourceLoss[];
  /** Undefined when it couldn't be found out. */
  readonly change: RetentionChange | undefined;
  /** Why not. */
  readonly error: ErrorReport | undefined;
}

export interface SourceLoss {
  readonly source: string;
  /** That there are. */
  readonly points: number;
  /** Oldest first. `kept` is why they are there: by the rules before, or as another policy's; empty when those don't keep them either. */
  readonly forgotten: readonly { readonly id: string; readonly time: number; readonly kept: readonly string[] }[];
}

export interface RetentionQuestion {
  readonly policies: readonly Policy[];
  /** The rules to compare with, given those that the last prune went by; undefined when there are none. */
  readonly before: (
    policy: Policy,
    location: string,
    applied: RetentionRules | undefined,
  ) => RetentionRules | undefined;
}

export async function planRetention(
  cli: Pick<Cli, "clock" | "environment" | "signal">,
  config: Config,
  { policies, before }: RetentionQuestion,
): Promise<RetentionPlan[]> {
  const context = lookingContext(cli, config);
  const plans: RetentionPlan[] = [];
  for (const policy of policies) {
    const locations = [primaryName, ...policy.replicate.map(({ replica }) => replica.name)];
    for (const location of locations) plans.push(...(await planLocation(cli, context, { policy, location }, before)));
  }
  return plans;
}

/** Empty where nothing is new. */
async function planLocation(
  { signal }: Pick<Cli, "signal">,
  context: PruneContext,
  { policy, location }: { readonly policy: Policy; readonly location: string },
  before: RetentionQuestion["before"],
): Promise<RetentionPlan[]> {
  const judgement = judgementOf(context.config(), { policy, location }, context.clock.now());
  const { place, at, records } = judgement;
  const rules = rulesAt(policy, location);
  const applied = await records.applied(place, at);
  const old = before(policy, location, applied?.rules);
  const isNew = old === undefined || fingerprintOf(old) !== fingerprintOf(rules);
  try {
    const { planBy } = await surveyPrune(context, { policy, location, signal });
    const plan = planBy(rules);
    const change = await judgeChange(judgement, rules, plan);
    if (!isNew && !isBlocked(change)) return [];
    return [
      {
        ...place,
        sources: lossesOf(plan, isNew && old !== undefined ? planBy(old) : undefined),
        change,
        error: undefined,
      },
    ];
  } catch (error) {
    if (isStillpointError(error, "cancelled")) throw error;
    // As long as it can't be reached, nothing of what was inherited goes there either.
    if (!isNew && policy.sources.every(({ name }) => applied?.sources.includes(name))) return [];
    return [{ ...place, sources: [], change: undefined, error: errorReport(error) }];
  }
}

function lossesOf({ groups }: PrunePlan, before: PrunePlan | undefined): SourceLoss[] {
  return groups
    .filter(({ remove }) => remove.length > 0)
    .map(({ policy, source, keep, remove }) => {
      const kept = reasonsOf(before?.groups.find((group) => group.source === source));
      const forgotten = remove.map(({ id, time, manifest }) => {
        const why = kept.get(id) ?? (manifest.policy === policy ? [] : [`captured by ${manifest.policy}`]);
        return { id, time, kept: why };
      });
      return { source, points: keep.length + remove.length, forgotten };
    });
}

function reasonsOf(group: PlannedGroup | undefined): Map<string, readonly string[]> {
  return new Map(group?.keep.map(({ id, reasons }) => [id, reasons]));
}
