/** Jobs in this process, for when no daemon runs. */
import { hostname } from "node:os";
import { CaptureGate } from "../job/capture-gate.ts";
import { OpenLocations } from "../job/open-locations.ts";
import type { JobContext } from "../job/run-job.ts";
import { SingleFlight } from "../job/single-flight.ts";
import { makeStages } from "../job/stages.ts";
import { threadedExecutor } from "../job/threads.ts";
import type { Config } from "../policy/config.ts";
import type { Cli } from "./cli.ts";
import { version } from "./version.ts";

/** Opens the primary at once, so that a wrong key or a missing disk is said once. Throws what `openPrimary` does. */
export async function makeJobContext(cli: Cli, config: Config): Promise<JobContext> {
  const { clock, environment, signal } = cli;
  const locations = new OpenLocations(() => config, clock, { environment });
  await locations.primary(signal);
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
    replications: new SingleFlight(),
  };
}
