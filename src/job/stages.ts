/** The stages of a job, as they are in production. */
import type { CapturedPoint, CaptureRequest, GroupRequest } from "./capture-stage.ts";
import { ConfigKeeper } from "./config-keeper.ts";
import { LocationViews } from "./location-view.ts";
import type { PruneRequest } from "./prune-stage.ts";
import type { ReplicateRequest } from "./replicate-stage.ts";
import type { Pruned, Replicated } from "./report.ts";
import type { StageContext } from "./stage-context.ts";

/** Each throws what ends it early. */
export interface Stages {
  capture(request: CaptureRequest): Promise<CapturedPoint>;
  /** Several sources at one instant; their points in the same order. */
  captureGroup(request: GroupRequest): Promise<readonly CapturedPoint[]>;
  replicate(request: ReplicateRequest): Promise<Replicated>;
  prune(request: PruneRequest): Promise<Pruned>;
}

/** Loads the code of a stage when it first runs: an idle daemon needs none of it. */
export function makeStages(options: Omit<StageContext, "views" | "configs">): Stages {
  const context = { ...options, views: new LocationViews(), configs: new ConfigKeeper(options.host) };
  return {
    capture: async (request) => await (await import("./capture-stage.ts")).captureStage(context, request),
    captureGroup: async (request) => await (await import("./capture-stage.ts")).captureGroupStage(context, request),
    replicate: async (request) => await (await import("./replicate-stage.ts")).replicateStage(context, request),
    prune: async (request) => await (await import("./prune-stage.ts")).pruneStage(context, request),
  };
}
