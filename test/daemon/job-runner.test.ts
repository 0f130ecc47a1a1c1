import { once } from "node:events";
import { expect, it } from "vitest";
import { FailureLog } from "../../src/daemon/failure-log.ts";
import { FailureRecords } from "../../src/daemon/failure-records.ts";
import { JobRunner } from "../../src/daemon/job-runner.ts";
import { Monitor } from "../../src/daemon/monitor.ts";
import { WorkBoard } from "../../src/daemon/work-board.ts";
import { systemClock as clock } from "../../src/host/clock.ts";
import { createLogger } from "../../src/host/log.ts";
import { CaptureGate } from "../../src/job/capture-gate.ts";
import { OpenLocations } from "../../src/job/open-locations.ts";
import type { Replicated } from "../../src/job/report.ts";
import { SingleFlight } from "../../src/job/single-flight.ts";
import { makeStages } from "../../src/job/stages.ts";
import { StateFolder } from "../../src/job/state-folder.ts";
import { Metrics } from "../../src/metrics/metrics.ts";
import type { Config } from "../../src/policy/config.ts";
import { inlineExecutor } from "../../src/repository/threads/executor.ts";
import { makeSite } from "../helpers/site.ts";

it("notes what it has captured also when it is told to end while it looks at that", async () => {
  const { config: loaded } = await makeSite();
  const config = (): Config => loaded;
  const state = new StateFolder(loaded.repository.state);
  let ending = false;
  const log = createLogger({
    level: "info",
    to: (line) => {
      // What it does next is to look.
      if (line.includes("job finished")) setImmediate(end);
    },
  });
  const locations = new OpenLocations(config, clock);
  // Until then each look lasts until it is cancelled.
  const slow: Pick<OpenLocations, "location"> = {
    location: async (name, signal) => {
      if (!ending && signal !== undefined) await once(signal, "abort");
      return await locations.location(name, signal);
    },
  };
  const monitor = new Monitor({ config, locations: slow, state, clock, log });
  await monitor.restore();
  const stages = makeStages({ config, locations, executor: inlineExecutor, clock, host: "test", version: "0" });
  const jobs = new JobRunner({
    context: { stages, clock, gate: new CaptureGate(1), replications: new SingleFlight<Replicated>() },
    policies: () => loaded.policies,
    monitor,
    metrics: new Metrics(),
    failures: new FailureRecords(state),
    failureLog: new FailureLog(state),
    board: new WorkBoard(clock),
    clock,
    log,
    onFree: () => undefined,
  });
  function end(): void {
    ending = true;
    void jobs.stop();
  }

  const [policy] = loaded.policies;
  if (policy === undefined) throw new Error("the site has no policy");
  const report = await jobs.run(policy);
  expect(monitor.watch("primary")?.known?.newest).toMatchObject([{ id: report.sources[0]?.point?.id }]);
});
