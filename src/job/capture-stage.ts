/** The first stage of a job: the new recovery point of a source, or those of a group. */
import { captureGroup, type GroupSource } from "../capture/capture-group.ts";
import { captureSource, type CaptureReport } from "../capture/capture-source.ts";
import type { EarlierPoint } from "../capture/describe-capture.ts";
import { StillpointError } from "../errors.ts";
import type { Policy, Source } from "../policy/config.ts";
import { BlobStore } from "../repository/blobs/blob-store.ts";
import { newestProof } from "../repository/points/catalog.ts";
import type { Repository } from "../repository/repository.ts";
import type { CallOptions } from "../storage/storage.ts";
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

export type GroupRequest = Omit<CaptureRequest, "source"> & { readonly sources: readonly Source[] };

export interface CapturedPoint {
  readonly point: PointReport;
  /** What failed after the instant, such as hooks: the point is good, the source may be stopped or frozen still. */
  readonly errors: readonly ErrorReport[];
}

export async function captureStage(context: StageContext, request: CaptureRequest): Promise<CapturedPoint> {
  const { source, progress } = request;
  const surroundings = await surroundingsOf(context, request, [source]);
  const report = await captureSource({
    ...surroundings,
    source,
    tags: source.tags,
    progress: ({ done, total }) => progress(done, total),
  });
  return describe(report);
}

/** Captures all sources at one instant. */
export async function captureGroupStage(context: StageContext, request: GroupRequest): Promise<CapturedPoint[]> {
  const { sources, progress } = request;
  const reports = await captureGroup({
    ...(await surroundingsOf(context, request, sources)),
    sources: sources.map(requireVm),
    progress: ({ done, total }) => progress(done, total),
  });
  return reports.map(describe);
}

/** What a capture is given whatever its source is. */
async function surroundingsOf(
  context: StageContext,
  { policy, signal }: Pick<CaptureRequest, "policy" | "signal">,
  sources: readonly Source[],
) {
  const primary = await context.locations.primary(signal);
  const { repository } = primary;
  await context.configs.keep(primary, context.config(), { signal });
  const store = await BlobStore.load(repository, { signal });
  const newest = await Promise.all(sources.map(async ({ name }) => await earlierPoint(repository, name, { signal })));
  return {
    repository,
    store,
    executor: context.executor,
    policy: policy.name,
    host: context.host,
    version: context.version,
    points: newest.filter((point) => point !== undefined),
    grace: context.config().maintenance.grace,
    signal,
  };
}

async function earlierPoint(
  repository: Repository,
  source: string,
  options: CallOptions,
): Promise<EarlierPoint | undefined> {
  const point = await newestPoint(repository, source, options);
  return point && { ...point, proof: await newestProof(repository, point.id, options) };
}

/** The configuration allows no other group. */
function requireVm(source: Source): GroupSource {
  if (source.kind === "vm") return source;
  throw new StillpointError("internal", { what: `Cannot capture ${source.name} together with others: it is no vm` });
}

function describe({ point, problems, mended = [] }: CaptureReport): CapturedPoint {
  const { consistency, statistics, left_out_count: leftOut, machine } = point.manifest;
  const pause = machine === undefined ? {} : { pause: machine.pause };
  return {
    point: {
      id: point.id,
      time: point.time,
      consistency,
      ...statistics,
      leftOut,
      ...pause,
      ...(mended.length > 0 && { mended }),
    },
    errors: problems.map(errorReport),
  };
}
