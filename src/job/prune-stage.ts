/** The third stage of a job: forgetting what no rule keeps, at one location. */
import { isDeepStrictEqual } from "node:util";
import type { Config, Policy } from "../policy/config.ts";
import { executePrune, type ExecutePruneOptions, type Pruned as Executed } from "../prune/execute-prune.ts";
import type { RetentionRules } from "../prune/guard-retention.ts";
import { asFirstReceived } from "../repository/locks/first-received.ts";
import { lockedPoints } from "../repository/locks/pins.ts";
import { type PlannedGroup, planPrune, type PruneGroup, type PrunePlan } from "../prune/plan-prune.ts";
import { surveyPoints } from "../replicate/survey.ts";
import { type CatalogPoint, loadCatalog } from "../repository/points/catalog.ts";
import { requireRead } from "../repository/points/unreadable.ts";
import type { Repository } from "../repository/repository.ts";
import { belongsTo, otherHeirs } from "./belonging.ts";
import { placeAt, primaryName } from "./locations.ts";
import type { Pruned } from "./report.ts";
import { carryOutChange, judgeChange, type Judgement, type RetentionChange } from "./retention-change.ts";
import { RetentionRecords } from "./retention-records.ts";
import { keptByAny, type PointThere, rulesAt, wantedAt } from "./rules.ts";
import type { StageContext } from "./stage-context.ts";
import { StateFolder } from "./state-folder.ts";
import { withinTime } from "./within-time.ts";

export interface PruneRequest {
  readonly policy: Policy;
  /** `primary`, or one of the policy's replicas. */
  readonly location: string;
  readonly signal?: AbortSignal | undefined;
}

export interface PruneContext extends Pick<StageContext, "config" | "clock"> {
  readonly locations: Pick<StageContext["locations"], "replica" | "location">;
}

export interface PlannedPrune {
  readonly repository: Repository;
  readonly plan: PrunePlan;
  readonly change: RetentionChange;
}

/**
 * Goes by the policy as it is now, to the last point: the one of the request is as old as its job, which may have taken hours. Throws
 * what `planPruneStage` and `executePlanned` throw.
 */
export async function pruneStage(context: PruneContext, request: PruneRequest): Promise<Pruned> {
  const { location, signal } = request;
  const config = context.config();
  const policy = inForce(config, request);
  if (policy === undefined) return { outcome: "deferred", kept: 0, forgotten: 0, givenUp: 0, errors: [] };
  const planned = await planPruneStage(context, { policy, location, signal });
  const deciding = decidersOf(config, policy);
  const holds = (): boolean => isDeepStrictEqual(decidersOf(context.config(), policy), deciding);
  const { forgotten, complete } = await executePlanned(planned, { signal, holds });
  const { groups } = planned.plan;
  const sum = (of: (group: PlannedGroup) => number): number => groups.reduce((total, one) => total + of(one), 0);
  const gone = new Set(forgotten);
  const { excesses, acceptance } = planned.change;
  const accepted = excesses.length > 0 ? acceptance : undefined;
  return {
    outcome: complete ? "ok" : "deferred",
    kept: sum(({ keep, remove }) => keep.length + remove.length) - gone.size,
    forgotten: gone.size,
    givenUp: sum((one) => one.givenUp.filter((id) => gone.has(id)).length),
    ...(accepted && { accepted }),
    errors: [],
  };
}

/**
 * The policy as the configuration has it; undefined when there is none of that name, or it forgets nothing at the location: it doesn't
 * replicate there, or not to the place where the job did, or this host may only add there.
 */
function inForce({ policies }: Config, { policy: { name, replicate }, location }: PruneRequest): Policy | undefined {
  const policy = policies.find((one) => one.name === name);
  if (policy === undefined || location === primaryName) return policy;
  const [before, now] = [replicate, policy.replicate].map(
    (all) => all.find(({ replica }) => replica.name === location)?.replica,
  );
  const mayForget = now !== undefined && !now.appendOnly && isDeepStrictEqual(now.place, before?.place);
  return mayForget ? policy : undefined;
}

/** The policies on which it depends what becomes of a policy's points: itself, and others that have one of its sources. */
function decidersOf({ policies }: Config, policy: Policy): Policy[] {
  const names = new Set(policy.sources.map(({ name }) => name));
  return policies.filter((one) => one.name === policy.name || one.sources.some(({ name }) => names.has(name)));
}

/** What the stage would do; reads only. `prune --dry-run` prints it. Throws what opening the location throws, or a storage error. */
export async function planPruneStage(context: PruneContext, request: PruneRequest): Promise<PlannedPrune> {
  const { policy, location } = request;
  const rules = rulesAt(policy, location);
  const { repository, planBy } = await surveyPrune(context, request);
  const plan = planBy(rules);
  const change = await judgeChange(judgementOf(context.config(), request, context.clock.now()), rules, plan);
  return { repository, plan, change };
}

/** What a change of a policy's rules at a location is judged by. Throws `not_found`. */
export function judgementOf(
  config: Config,
  { policy, location }: Pick<PruneRequest, "policy" | "location">,
  now: number,
): Judgement {
  const records = new RetentionRecords(new StateFolder(config.repository.state));
  const place = { policy: policy.name, location };
  return { place, at: placeAt(config, location), now, share: config.maintenance.retentionGuard, records };
}

/** Throws `retention_guarded` before anything is deleted, or a storage error. */
export async function executePlanned(
  { repository, plan, change }: PlannedPrune,
  options: ExecutePruneOptions,
): Promise<Executed> {
  return await carryOutChange(change, async () => await executePrune(repository, plan, options));
}

/** A location's points, ready to be judged by any rules. */
export interface PruneSurvey {
  readonly repository: Repository;
  readonly planBy: (rules: RetentionRules) => PrunePlan;
}

export async function surveyPrune(context: PruneContext, request: PruneRequest): Promise<PruneSurvey> {
  const { policy, location, signal } = request;
  const { repository } = await context.locations.location(location, signal);
  const catalog = await loadCatalog(repository, { signal });
  requireRead(catalog);
  const { points, damaged } = catalog;
  const { policies } = context.config();
  const received = await asFirstReceived(points, repository.storage, { signal });
  const viewOf = async (of: Policy): Promise<PolicyView> => {
    const mine = belongsTo(policies, of);
    const own = received.filter(({ manifest }) => mine(manifest));
    return { policy: of, own, missingAt: await whoLacks(context, { policy: of, location, signal }, own) };
  };
  const view = await viewOf(policy);
  const manifests = view.own.map(({ manifest }) => manifest);
  const heirs = await Promise.all(otherHeirs(policies, { policy, location }, manifests).map(viewOf));
  const locked = await lockedPoints(repository, { signal });
  const now = context.clock.now();
  const planOf = (
    { policy: of, own, missingAt }: PolicyView,
    rules: RetentionRules,
    keptBy?: PruneGroup["keptBy"],
  ): PrunePlan => {
    const { keep, timezone, unreplicated: cap } = rules;
    const groups = of.sources.map(({ name: source }): PruneGroup => {
      const its = own.filter(({ manifest }) => manifest.source === source);
      return { policy: of.name, source, points: its, keep, timezone, cap, missingAt, keptBy, locked };
    });
    const replica = location !== primaryName;
    return planPrune({ location, replica, now, groups, damaged: damaged.map(({ name }) => name) });
  };
  const kept = heirs.map((heir) => {
    const { groups } = planOf(heir, rulesAt(heir.policy, location));
    return { name: heir.policy.name, keep: groups.flatMap(({ keep }) => keep) };
  });
  return { repository, planBy: (rules) => planOf(view, rules, keptByAny(kept)) };
}

/** The points of a location that belong to a policy, and who lacks them. */
interface PolicyView {
  readonly policy: Policy;
  readonly own: readonly CatalogPoint[];
  readonly missingAt: (id: string) => readonly string[];
}

/** How long a replica may take to show its points, in ms. Past that all of them count as lacking there. */
const patience = 60_000;

/**
 * The replicas that want a point of the primary and lack it. One that can't be asked counts as lacking all; the policy's cap
 * limits that.
 */
async function whoLacks(
  context: PruneContext,
  { policy, location, signal }: PruneRequest,
  points: readonly CatalogPoint[],
): Promise<(id: string) => string[]> {
  if (location !== primaryName) return () => [];
  const now = context.clock.now();
  const ids = points.map(({ id }) => id);
  const surveys = await Promise.all(
    policy.replicate.map(async ({ replica: { name } }) => {
      const limit = { clock: context.clock, limit: patience, location: name, signal };
      const survey = await withinTime(limit, async (within) => {
        const { repository } = await context.locations.replica(name, within);
        return await surveyPoints(repository, ids, { signal: within });
      }).catch(() => undefined);
      return { name, survey };
    }),
  );
  const mine = belongsTo(context.config().policies, policy);
  const there = (replica: string): readonly PointThere[] =>
    surveys.find(({ name }) => name === replica)?.survey?.there.filter(({ manifest }) => mine(manifest)) ?? [];
  const replicas = surveys.map(({ name, survey }) => {
    return { name, survey, wanted: wantedAt({ policy, location: name, now }, points, { there }) };
  });
  return (id) =>
    replicas
      .filter(({ survey, wanted }) => wanted.has(id) && !survey?.points.has(id) && !survey?.forgotten.has(id))
      .map(({ name }) => name);
}
