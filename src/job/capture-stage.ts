/** The first stage of a job: one source's new recovery point. */
import { captureSource } from "../capture/capture-source.ts";
import type { Policy, Source } from "../policy/config.ts";
import { longestReliance } from "../replicate/sweep-notices.ts";
import { BlobStore } from "../repository/blobs/blob-store.ts";
import { newestPoint } from "./newest-point.ts";
import { type ErrorReport, errorReport, type PointReport } from "./report.ts";
import type { StageContext } from "./stage-context.ts";

export interface CaptureRequest {
  readonly policy: Policy;
  readonly source: Source;
  readonly signal?: AbortSignal | undefined;
  /** In bytes; `total` is undefined while it isn't known. */
  readonly progress: (done: number, total: number | undefined) => void;
}

export interface CapturedPoint {
  readonly point: PointReport;
  /** Hooks that failed after the instant: the point is good, the source may be stopped or frozen still. */
  readonly errors: readonly ErrorReport[];
}

export async function captureStage(context: StageContext, request: CaptureRequest): Promise<CapturedPoint> {
  const { policy, source, signal, progress } = request;
  const { repository } = await context.locations.primary(signal);
  const store = await BlobStore.load(repository, { signal });
  const newest = await newestPoint(repository, source.name, { signal });
  const { point, problems } = await captureSource({
    repository,
    store,
    executor: context.executor,
    source,
    policy: policy.name,
    host: context.host,
    version: context.version,
    tags: source.tags,
    points: newest === undefined ? [] : [newest],
    maxDuration: longestReliance(context.config().maintenance.grace),
    signal,
    progress: ({ done, total }) => progress(done, total),
  });
  const { consistency, statistics, left_out_count: leftOut } = point.manifest;
  return {
    point: { id: point.id, time: point.time, consistency, ...statistics, leftOut },
    errors: problems.map(errorReport),
  };
}
