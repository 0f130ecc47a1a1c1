/** What every stage of a job is given. */
import type { Clock } from "../host/clock.ts";
import type { Config } from "../policy/config.ts";
import type { ExecutorFactory } from "../repository/threads/executor.ts";
import type { ConfigKeeper } from "./config-keeper.ts";
import type { LocationViews } from "./location-view.ts";
import type { OpenLocations } from "./open-locations.ts";

export interface StageContext {
  /** Gives the configuration in force. */
  readonly config: () => Config;
  readonly locations: Pick<OpenLocations, "primary" | "replica" | "location" | "alone">;
  readonly executor: ExecutorFactory;
  readonly clock: Clock;
  /** The name of this host, and the version of Stillpoint, for manifests. */
  readonly host: string;
  readonly version: string;
  readonly views: LocationViews;
  readonly configs: ConfigKeeper;
}
