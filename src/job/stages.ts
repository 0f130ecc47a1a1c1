/** The stages of a job, as they are in production. */
import type { Clock } from "../host/clock.ts";
import type { Config } from "../policy/config.ts";
import type { ExecutorFactory } from "../repository/executor.ts";
import type { CapturedPoint, CaptureRequest } from "./capture-stage.ts";
import type { OpenLocations } from "./open-locations.ts";
import { PrimaryViews } from "./primary-view.ts";
import type { PruneRequest } from "./prune-stage.ts";
import type { ReplicateRequest } from "./replicate-stage.ts";
import type { Pruned, Replicated } from "./report.ts";

/** Each throws what ends it early. */
export interface Stages {
  capture(request: CaptureRequest): Promise<CapturedPoint>;
  replicate(request: ReplicateRequest): Promise<Replicated>;
  prune(request: PruneRequest): Promise<Pruned>;
}

export interface StageContext {
  /** Gives the configuration in force. */
  readonly config: () => Config;
  readonly locations: Pick<OpenLocations, "primary" | "replica" | "location">;
  readonly executor: ExecutorFactory;
  readonly clock: Clock;
  /** The name of this host, and the version of Stillpoint, for manifests. */
  readonly host: string;
  readonly version: string;
  readonly views: PrimaryViews;
}

/** Loads the code of a stage when it first runs: an idle daemon needs none of it. */
export function makeStages(options: Omit<StageContext, "views">): Stages {
  const context = { ...options, views: new PrimaryViews() };
  return {
    capture: async (request) => await (await import("./capture-stage.ts")).captureStage(context, request),
    replicate: async (request) => await (await import("./replicate-stage.ts")).replicateStage(context, request),
    prune: async (request) => await (await import("./prune-stage.ts")).pruneStage(context, request),
  };
}
