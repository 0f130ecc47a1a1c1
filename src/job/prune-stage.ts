/** The third stage of a job: forgetting what no rule keeps, at one location. */
import type { Policy } from "../policy/config.ts";
import { surveyPoints } from "../replicate/survey.ts";
import { type CatalogPoint, forgetPoint, loadCatalog } from "../repository/catalog.ts";
import { belongsTo } from "./belonging.ts";
import { primaryName } from "./locations.ts";
import type { Pruned } from "./report.ts";
import { judge, wantedAt } from "./rules.ts";
import type { StageContext } from "./stages.ts";
import { withinTime } from "./within-time.ts";

export interface PruneRequest {
  readonly policy: Policy;
  /** `primary`, or one of the policy's replicas. */
  readonly location: string;
  readonly signal?: AbortSignal | undefined;
}

export async function pruneStage(context: StageContext, request: PruneRequest): Promise<Pruned> {
  const { policy, location, signal } = request;
  const { repository } = await context.locations.location(location, signal);
  const { points } = await loadCatalog(repository, { signal });
  const mine = belongsTo(context.config().policies, policy);
  const own = points.filter(({ manifest }) => mine(manifest));
  const lackedBy = await whoLacks(context, request, own);
  let [kept, forgotten, givenUp] = [0, 0, 0];
  for (const source of policy.sources) {
    const candidates = own.filter(({ manifest }) => manifest.source === source.name);
    const plan = judge({ policy, location, now: context.clock.now() }, candidates, lackedBy);
    const remove = new Set(plan.remove);
    for (const point of candidates.filter(({ id }) => remove.has(id))) {
      await forgetPoint(repository, point, `no rule of ${policy.name} keeps it`, { signal });
    }
    kept += plan.keep.length;
    forgotten += plan.remove.length;
    givenUp += plan.givenUp.length;
  }
  return { outcome: "ok", kept, forgotten, givenUp, errors: [] };
}

/** How long a replica may take to list its points, in ms. Past that all of them count as lacking there. */
const patience = 60_000;

/**
 * The replicas that want a point of the primary and lack it. One that can't be asked counts as lacking all; the policy's cap
 * limits that.
 */
async function whoLacks(
  context: StageContext,
  { policy, location, signal }: PruneRequest,
  points: readonly CatalogPoint[],
): Promise<(id: string) => string[]> {
  if (location !== primaryName) return () => [];
  const now = context.clock.now();
  const replicas = await Promise.all(
    policy.replicate.map(async ({ replica: { name } }) => {
      const limit = { clock: context.clock, limit: patience, location: name, signal };
      const survey = await withinTime(limit, async (within) => {
        const { repository } = await context.locations.replica(name, within);
        return await surveyPoints(repository.storage, { signal: within });
      }).catch(() => undefined);
      return { name, survey, wanted: wantedAt({ policy, location: name, now }, points) };
    }),
  );
  return (id) =>
    replicas
      .filter(({ survey, wanted }) => wanted.has(id) && !survey?.points.has(id) && !survey?.forgotten.has(id))
      .map(({ name }) => name);
}
