/** The second stage of a job: one replica, brought up to date with what the policy has at the primary, or at another replica. */
import type { Policy, Replication } from "../policy/config.ts";
import { replicate } from "../replicate/replicate.ts";
import type { CatalogPoint } from "../repository/points/catalog.ts";
import { belongsTo } from "./belonging.ts";
import { errorReport, type Replicated } from "./report.ts";
import { primaryName } from "./locations.ts";
import { keptAt, wantedAt } from "./rules.ts";
import type { StageContext } from "./stage-context.ts";

export interface ReplicateRequest {
  readonly policy: Policy;
  readonly to: Replication;
  /** The location to replicate from; the primary by default. */
  readonly from?: string | undefined;
  /** Any object that stands for the job: its replications, which are all from one location, share what they read there. */
  readonly job: object;
  readonly signal?: AbortSignal | undefined;
  /** In bytes; `total` is an estimate. */
  readonly progress: (done: number, total: number) => void;
}

/** Clocks may differ by this much, in ms. */
const tolerance = 5 * 60_000;

export async function replicateStage(context: StageContext, request: ReplicateRequest): Promise<Replicated> {
  const { policy, to, from = primaryName, job, signal, progress } = request;
  const config = context.config();
  const { policies, maintenance } = config;
  const source = await context.locations.alone(from, signal);
  const location = await context.locations.replica(to.replica.name, signal, source);
  const { repository: replica } = location;
  await context.configs.keep(location, config, { signal });
  const { points, store } = await context.views.of(job, source.repository, { signal });
  const mine = belongsTo(policies, policy);
  const own = points.filter(({ manifest }) => mine(manifest));
  const judging = { policy, location: to.replica.name, now: context.clock.now() };
  const wanted = wantedAt(judging, own, from);
  const keeps = (there: readonly CatalogPoint[]): ReadonlySet<string> => {
    // What claims to be younger than its receipt is forged, or its host's clock was wrong: it isn't to be locked for ever.
    const honest = there.filter(({ manifest, time, received }) => mine(manifest) && time <= received + tolerance);
    return keptAt(judging, honest);
  };
  const report = await replicate({
    primary: store,
    points: own,
    replica,
    wanted: ({ id }) => wanted.has(id),
    grace: maintenance.grace,
    lock: to.lock === undefined ? undefined : { length: to.lock, keeps },
    signal,
    onProgress: ({ bytes }) => progress(bytes.done, bytes.total),
  });
  const { replicated, failed, failedNotes, unlocked, ended, bytesRead, bytesSent, backlog } = report;
  const errors = [ended, ...failed.map(({ error }) => error), ...failedNotes.map(({ error }) => error), ...unlocked];
  const wrong = errors.filter((error) => error !== undefined).map(errorReport);
  return {
    outcome: wrong.length === 0 ? "ok" : ended === undefined || replicated.length > 0 ? "partial" : "failed",
    points: replicated.length,
    bytesRead,
    bytesSent,
    backlog: backlog && { points: backlog.lacking.length, bytes: backlog.estimatedBytes },
    errors: wrong,
  };
}
