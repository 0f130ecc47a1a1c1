/** The third stage of a job: forgetting what no rule keeps, at one location. */
import type { Policy } from "../policy/config.ts";
import { surveyPoints } from "../replicate/survey.ts";
import { executePrune } from "../prune/execute-prune.ts";
import { type PlannedGroup, planPrune, type PruneGroup, type PrunePlan } from "../prune/plan-prune.ts";
import { type CatalogPoint, loadCatalog } from "../repository/points/catalog.ts";
import type { Repository } from "../repository/repository.ts";
import { belongsTo } from "./belonging.ts";
import { primaryName } from "./locations.ts";
import type { Pruned } from "./report.ts";
import { wantedAt } from "./rules.ts";
import type { StageContext } from "./stage-context.ts";
import { withinTime } from "./within-time.ts";

export interface PruneRequest {
  readonly policy: Policy;
  /** `primary`, or one of the policy's replicas. */
  readonly location: string;
  readonly signal?: AbortSignal | undefined;
}

export type PruneContext = Pick<StageContext, "config" | "locations" | "clock">;

export interface PlannedPrune {
  readonly repository: Repository;
  readonly plan: PrunePlan;
}

export async function pruneStage(context: PruneContext, request: PruneRequest): Promise<Pruned> {
  const { repository, plan } = await planPruneStage(context, request);
  const { forgotten } = await executePrune(repository, plan, { signal: request.signal });
  const sum = (of: (group: PlannedGroup) => number): number => plan.groups.reduce((total, one) => total + of(one), 0);
  const kept = sum(({ keep, remove }) => keep.length + remove.length) - forgotten.length;
  return { outcome: "ok", kept, forgotten: forgotten.length, givenUp: sum((one) => one.givenUp.length), errors: [] };
}

/** What the stage would do; reads only. `prune --dry-run` prints it. Throws what opening the location throws, or a storage error. */
export async function planPruneStage(context: PruneContext, request: PruneRequest): Promise<PlannedPrune> {
  const { policy, location, signal } = request;
  const { repository } = await context.locations.location(location, signal);
  const { points, damaged } = await loadCatalog(repository, { signal });
  const mine = belongsTo(context.config().policies, policy);
  const own = points.filter(({ manifest }) => mine(manifest));
  const missingAt = await whoLacks(context, request, own);
  const groups = policy.sources.map(
    ({ name: source }): PruneGroup => ({
      policy: policy.name,
      source,
      points: own.filter(({ manifest }) => manifest.source === source),
      keep: policy.replicate.find(({ replica }) => replica.name === location)?.keep ?? policy.keep,
      timezone: policy.schedule.timezone,
      cap: policy.unreplicated,
      missingAt,
    }),
  );
  const replica = location !== primaryName;
  const now = context.clock.now();
  return { repository, plan: planPrune({ location, replica, now, groups, damaged: damaged.map(({ name }) => name) }) };
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
  const replicas = await Promise.all(
    policy.replicate.map(async ({ replica: { name } }) => {
      const limit = { clock: context.clock, limit: patience, location: name, signal };
      const survey = await withinTime(limit, async (within) => {
        const { repository } = await context.locations.replica(name, within);
        return await surveyPoints(repository, ids, { signal: within });
      }).catch(() => undefined);
      return { name, survey, wanted: wantedAt({ policy, location: name, now }, points) };
    }),
  );
  return (id) =>
    replicas
      .filter(({ survey, wanted }) => wanted.has(id) && !survey?.points.has(id) && !survey?.forgotten.has(id))
      .map(({ name }) => name);
}
