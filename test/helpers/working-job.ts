/** A policy at work on a site of its own: real stages, in this thread, on a clock of the test's. */
import * as fs from "node:fs/promises";
import { CaptureGate } from "../../src/job/capture-gate.ts";
import { OpenLocations } from "../../src/job/open-locations.ts";
import { planPruneStage } from "../../src/job/prune-stage.ts";
import type { JobEvent, JobReport, Replicated } from "../../src/job/report.ts";
import { type JobContext, runJob } from "../../src/job/run-job.ts";
import { SingleFlight } from "../../src/job/single-flight.ts";
import { makeStages } from "../../src/job/stages.ts";
import type { Config } from "../../src/policy/config.ts";
import { type Catalog, loadCatalog } from "../../src/repository/points/catalog.ts";
import { getSmallObject } from "../../src/repository/points/small-objects.ts";
import { inlineExecutor } from "../../src/repository/threads/executor.ts";
import { ManualClock } from "./manual-clock.ts";
import { namesOf } from "./repository.ts";
import { makeSite, type Site } from "./site.ts";

const hour = 3_600_000;

function hourOf(time: number): number {
  return Math.round((time - Date.UTC(2026, 10, 22)) / hour);
}

/** Stands still until it is moved; but the short pauses between tries of a storage are over at once. */
class PatientClock extends ManualClock {
  override sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return ms < 30_000 ? Promise.resolve() : super.sleep(ms, signal);
  }
}

/** `rest`: what follows `version` and `repository` in the configuration. */
export async function working(rest?: string) {
  const clock = new PatientClock(Date.UTC(2026, 10, 22));
  const site = await makeSite({ clock, ...(rest === undefined ? {} : { rest }) });
  let { config } = site;
  const locations = new OpenLocations(() => config, clock);
  const context: JobContext = {
    stages: makeStages({
      config: () => config,
      locations,
      executor: inlineExecutor,
      clock,
      host: "test",
      version: "0",
    }),
    clock,
    gate: new CaptureGate(1),
    replications: new SingleFlight<Replicated>(),
  };
  const [policy] = site.config.policies;
  if (policy === undefined) throw new Error("the site has no policy");
  const catalog = async (name: string): Promise<Catalog> =>
    await loadCatalog((await locations.location(name)).repository);
  const run = async (onEvent?: (event: JobEvent) => void): Promise<JobReport> =>
    await runJob(context, { policy, onEvent });
  return {
    site,
    clock,
    locations,
    run,
    change: (to: Config): void => void (config = to),
    /** The texts of those stored at the primary and at the replica, the oldest first. */
    configs: async (): Promise<string[][]> =>
      await Promise.all(
        ["primary", "far"].map(async (name) => {
          const { repository } = await locations.location(name);
          const names = (await namesOf(repository.storage, "config/")).toSorted();
          const kept = names.map(async (one) => await getSmallObject(repository, "config", one));
          return (await Promise.all(kept)).map(({ text }) => text);
        }),
      ),
    /** The hours of the points that a prune of the primary would forget. */
    prunable: async (): Promise<number[]> => {
      const pruning = { config: () => site.config, locations, clock };
      const { plan } = await planPruneStage(pruning, { policy, location: "primary" });
      return plan.groups.flatMap(({ remove }) => remove).map(({ time }) => hourOf(time));
    },
    points: async (): Promise<Catalog["points"]> => (await catalog("primary")).points,
    /** Writes a new letter an hour later, and runs the policy. */
    next: async (text: string, onEvent?: (event: JobEvent) => void): Promise<JobReport> => {
      await clock.advance(hour);
      await fs.writeFile(site.at("docs", "letter"), text);
      return await run(onEvent);
    },
    times: async (name: string): Promise<number[]> => (await catalog(name)).points.map(({ time }) => hourOf(time)),
  };
}

/** Returns what brings the replica back. */
export async function moveAway({ at }: Site, replica = "far"): Promise<() => Promise<void>> {
  await fs.rename(at("replicas", replica), at("replicas", "away"));
  return async () => await fs.rename(at("replicas", "away"), at("replicas", replica));
}
