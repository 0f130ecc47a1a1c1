/** Jobs in this process, for when no daemon runs. */
import { hostname } from "node:os";
import { CaptureGate } from "../job/capture-gate.ts";
import { primaryName } from "../job/locations.ts";
import { OpenLocations } from "../job/open-locations.ts";
import type { JobContext } from "../job/run-job.ts";
import type { Replicated } from "../job/report.ts";
import { SingleFlight } from "../job/single-flight.ts";
import { makeStages } from "../job/stages.ts";
import { threadedExecutor } from "../job/threads.ts";
import type { Config } from "../policy/config.ts";
import type { Cli } from "./cli.ts";
import { version } from "./version.ts";

/**
 * Opens the location that the jobs begin from at once, so that a wrong key or a missing disk is said once. Throws what
 * `openLocation` does.
 */
export async function makeJobContext(cli: Cli, config: Config, from: string = primaryName): Promise<JobContext> {
  const { clock, environment, signal } = cli;
  const locations = new OpenLocations(() => config, clock, { environment });
  await locations.alone(from, signal);
  return {
    stages: makeStages({
      config: () => config,
      locations,
      executor: threadedExecutor,
      clock,
      host: hostname(),
      version,
    }),
    clock,
    gate: new CaptureGate(config.daemon.concurrency),
    replications: new SingleFlight<Replicated>(),
  };
}
