/** The main path: capture, replicate, prune, report. */
import type { Clock } from "../host/clock.ts";
import type { Policy, Replication, Source } from "../policy/config.ts";
import type { CapturedPoint } from "./capture-stage.ts";
import type { CaptureGate } from "./capture-gate.ts";
import { inTurn } from "./in-turn.ts";
import { primaryName, prunedLocations } from "./locations.ts";
import type { CaptureReport, JobEvent, JobReport, Pruned, PruneReport, ReplicaReport, Replicated } from "./report.ts";
import { nothingSent, outcomeOf, stage, sumOf } from "./report.ts";
import type { SingleFlight } from "./single-flight.ts";
import type { Stages } from "./stages.ts";

export interface JobContext {
  readonly stages: Stages;
  readonly clock: Clock;
  /** Shared by all jobs of this process, as is `replications`. */
  readonly gate: CaptureGate;
  readonly replications: SingleFlight<Replicated>;
}

export interface JobRequest {
  readonly policy: Policy;
  /** Those of the policy by default. */
  readonly sources?: readonly Source[] | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onEvent?: ((event: JobEvent) => void) | undefined;
  /** Called when nothing is captured any more: from then on the policy's next run may start. */
  readonly onCaptured?: (() => void) | undefined;
}

/** A report before it has times. */
type Blank<Report> = Omit<Report, "started" | "finished">;

/**
 * Captures the sources, brings every replica up to date, and forgets what no rule keeps, there and here. Each stage
 * runs whatever became of the one before: a failed capture still replicates what is already there, and a dead replica
 * delays no other. What fails is in the report; nothing is thrown.
 */
export async function runJob(context: JobContext, request: JobRequest): Promise<JobReport> {
  const { policy, sources = policy.sources, onCaptured } = request;
  const started = context.clock.now();

  const captures =
    policy.together && sources.length === policy.sources.length
      ? await captureTogether(context, request, sources)
      : await Promise.all(sources.map((source) => capture(context, request, source)));
  onCaptured?.();
  const replicas = await replicateAll(context, request);
  const reached = replicas.filter(({ outcome }) => outcome === "ok" || outcome === "partial");
  const isShared = sharedAmong(policy.replicate, replicas);
  const ready = new Set([primaryName, ...reached.map(({ replica }) => replica).filter((name) => !isShared(name))]);
  const locations = prunedLocations(policy).filter((location) => ready.has(location));
  const prunes = await Promise.all(locations.map((location) => prune(context, request, location)));

  const stages = { sources: captures, replicas, prune: prunes };
  const finished = context.clock.now();
  return { policy: policy.name, started, finished, outcome: outcomeOf(stages), ...stages };
}

async function capture(context: JobContext, request: JobRequest, source: Source): Promise<CaptureReport> {
  const { stages, clock, gate } = context;
  const { policy, signal, onEvent } = request;
  const blank: Blank<CaptureReport> = { source: source.name, outcome: "ok", point: undefined, errors: [] };
  const work = async (): Promise<Partial<Blank<CaptureReport>>> => {
    onEvent?.({ event: "capture-started", source: source.name });
    const progress = (done: number, total: number | undefined): void =>
      onEvent?.({ event: "capture-progress", source: source.name, done, total });
    return described(await stages.capture({ policy, source, signal, progress }));
  };
  const report = await stage(clock, blank, async () => await gate.run([source.name], work, signal));
  onEvent?.({ event: "capture-finished", ...report });
  return report;
}

/** All at one instant: each has a new point, or none has. */
async function captureTogether(
  context: JobContext,
  request: JobRequest,
  sources: readonly Source[],
): Promise<CaptureReport[]> {
  const { stages, clock, gate } = context;
  const { policy, signal, onEvent } = request;
  const names = sources.map(({ name }) => name);
  const progress = (done: number, total: number | undefined): void => {
    for (const source of names) onEvent?.({ event: "capture-progress", source, done, total });
  };
  const all = gate.run(
    names,
    async () => {
      for (const source of names) onEvent?.({ event: "capture-started", source });
      return await stages.captureGroup({ policy, sources, signal, progress });
    },
    signal,
  );
  return await Promise.all(
    names.map(async (source, number) => {
      const blank: Blank<CaptureReport> = { source, outcome: "ok", point: undefined, errors: [] };
      const report = await stage(clock, blank, async () => {
        const captured = (await all)[number];
        return captured === undefined ? { outcome: "failed" } : described(captured);
      });
      onEvent?.({ event: "capture-finished", ...report });
      return report;
    }),
  );
}

function described({ point, errors }: CapturedPoint): Partial<Blank<CaptureReport>> {
  return { outcome: point.leftOut === 0 && errors.length === 0 ? "ok" : "partial", point, errors };
}

/** Replicas that get their points from another come after it, whatever became of it: what it has is sent on. */
async function replicateAll(context: JobContext, request: JobRequest): Promise<ReplicaReport[]> {
  const all = request.policy.replicate;
  const origin = ({ from }: Replication): Replication[] => all.filter(({ replica }) => replica.name === from);
  return await inTurn(all, origin, async (to) => await replicate(context, request, to));
}

/**
 * Whether another host's points are at that replica, where they would push out this one's: it was seen to write there, or to the one
 * from which the replica gets its points.
 */
function sharedAmong(all: readonly Replication[], reports: readonly ReplicaReport[]): (name: string) => boolean {
  const seen = new Set(
    reports.filter(({ errors }) => errors.some(({ code }) => code === "replica_shared")).map(({ replica }) => replica),
  );
  const origin = new Map(all.map(({ replica, from }) => [replica.name, from]));
  const isShared = (name: string): boolean => {
    const from = origin.get(name);
    return seen.has(name) || (from !== undefined && isShared(from));
  };
  return isShared;
}

async function replicate(context: JobContext, request: JobRequest, to: Replication): Promise<ReplicaReport> {
  const { stages, clock, replications } = context;
  const { policy, signal, onEvent } = request;
  const replica = to.replica.name;
  const blank: Blank<ReplicaReport> = { replica, ...nothingSent };
  const report = await stage(clock, blank, async () => {
    onEvent?.({ event: "replication-started", replica });
    const progress = (done: number, total: number): void =>
      onEvent?.({ event: "replication-progress", replica, done, total });
    const work = async (): Promise<Replicated> =>
      await stages.replicate({ policy, to, job: request, signal, progress });
    // An error is a result too: what was done and told before it is kept.
    const results = await replications.run(`${policy.name} ${replica}`, () => stage(clock, nothingSent, work));
    return results === undefined ? { outcome: "deferred" } : sumOf(results);
  });
  onEvent?.({ event: "replication-finished", ...report });
  return report;
}

async function prune(context: JobContext, request: JobRequest, location: string): Promise<PruneReport> {
  const { policy, signal, onEvent } = request;
  const blank: Blank<PruneReport> = { location, outcome: "ok", kept: 0, forgotten: 0, givenUp: 0, errors: [] };
  const work = async (): Promise<Pruned> => {
    onEvent?.({ event: "prune-started", location });
    return await context.stages.prune({ policy, location, signal });
  };
  const report = await stage(context.clock, blank, work);
  onEvent?.({ event: "prune-finished", ...report });
  return report;
}
