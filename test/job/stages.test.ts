import * as fs from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { CaptureGate } from "../../src/job/capture-gate.ts";
import { OpenLocations } from "../../src/job/open-locations.ts";
import { type JobContext, runJob } from "../../src/job/run-job.ts";
import type { JobReport } from "../../src/job/report.ts";
import { SingleFlight } from "../../src/job/single-flight.ts";
import { planPruneStage } from "../../src/job/prune-stage.ts";
import { makeStages } from "../../src/job/stages.ts";
import type { Config } from "../../src/policy/config.ts";
import { getSmallObject } from "../../src/repository/points/small-objects.ts";
import { type Catalog, loadCatalog } from "../../src/repository/points/catalog.ts";
import { inlineExecutor } from "../../src/repository/threads/executor.ts";
import { ManualClock } from "../helpers/manual-clock.ts";
import { namesOf } from "../helpers/repository.ts";
import { makeSite, type Site } from "../helpers/site.ts";

const hour = 3_600_000;

function hourOf(time: number): number {
  return Math.round((time - Date.UTC(2026, 10, 22)) / hour);
}

/** One point here, many at the replica; `count` is how many a dead replica may hold back here. */
function keepingMoreOffsite(count: number): string {
  return `
replicas: { far: { path: replicas/far } }
sources: { docs: { directory: { path: docs } } }
policies:
  often:
    sources: [docs]
    schedule: { manual: true }
    keep: { last: 1 }
    unreplicated: { count: ${String(count)}, age: 30d }
    replicate: { far: { keep: { last: 10 } } }
`;
}

/** Stands still until it is moved; but the short pauses between tries of a storage are over at once. */
class PatientClock extends ManualClock {
  override sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return ms < 30_000 ? Promise.resolve() : super.sleep(ms, signal);
  }
}

/** Real stages, in this thread, on a clock of the test's. */
async function working(rest?: string) {
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
    replications: new SingleFlight(),
  };
  const [policy] = site.config.policies;
  if (policy === undefined) throw new Error("the site has no policy");
  const catalog = async (name: string): Promise<Catalog> =>
    await loadCatalog((await locations.location(name)).repository);
  const run = async (): Promise<JobReport> => await runJob(context, { policy });
  return {
    site,
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
    next: async (text: string): Promise<JobReport> => {
      await clock.advance(hour);
      await fs.writeFile(site.at("docs", "letter"), text);
      return await run();
    },
    times: async (name: string): Promise<number[]> => (await catalog(name)).points.map(({ time }) => hourOf(time)),
  };
}

async function moveAway({ at }: Site): Promise<() => Promise<void>> {
  await fs.rename(at("replicas", "far"), at("replicas", "away"));
  return async () => await fs.rename(at("replicas", "away"), at("replicas", "far"));
}

describe("a job with real stages", () => {
  it("captures, replicates, and keeps what the rules keep, here and there", async () => {
    const { next, times } = await working();
    const first = await next("one");
    expect(first).toMatchObject({ outcome: "ok", sources: [{ source: "docs", outcome: "ok" }] });
    expect(first.replicas).toMatchObject([{ replica: "far", points: 1, backlog: { points: 0 } }]);
    await next("two");
    const third = await next("three");
    expect(third.prune).toMatchObject([
      { location: "primary", kept: 2, forgotten: 1 },
      { location: "far", kept: 2, forgotten: 1 },
    ]);
    expect(await times("primary")).toEqual([2, 3]);
    expect(await times("far")).toEqual([2, 3]);
  });

  it("stores the configuration here and there, and again when it has changed", async () => {
    const { site, change, configs, next } = await working();
    await next("one");
    await next("two");
    expect(await configs()).toEqual([[site.config.file.text], [site.config.file.text]]);
    change({ ...site.config, file: { ...site.config.file, text: "changed" } });
    await next("three");
    expect(await configs()).toEqual([
      [site.config.file.text, "changed"],
      [site.config.file.text, "changed"],
    ]);
  });

  it("keeps what a dead replica lacks, and brings it there when it is back", async () => {
    const { site, next, times } = await working(keepingMoreOffsite(10));
    await next("one");
    const bringBack = await moveAway(site);
    for (const text of ["two", "three", "four"]) {
      const report = await next(text);
      expect(report.outcome).toBe("partial");
      expect(report.sources[0]?.outcome).toBe("ok");
      expect(report.replicas[0]).toMatchObject({ outcome: "failed", errors: [{ code: "storage_unreachable" }] });
    }
    // Nobody can say any more whether the first one is there.
    expect(await times("primary")).toEqual([1, 2, 3, 4]);
    await bringBack();
    const report = await next("five");
    expect(report.outcome).toBe("ok");
    expect(await times("far")).toEqual([1, 2, 3, 4, 5]);
    expect(await times("primary")).toEqual([5]);
  });

  it("sends a replica that was away for long only what it still wants", async () => {
    const rest = `
replicas: { far: { path: replicas/far } }
sources: { docs: { directory: { path: docs } } }
policies:
  often: { sources: [docs], schedule: { manual: true }, keep: { last: 20 }, replicate: { far: { keep: { last: 2 } } } }
`;
    const { site, next, times } = await working(rest);
    await next("1");
    const bringBack = await moveAway(site);
    for (const text of ["2", "3", "4", "5"]) await next(text);
    await bringBack();
    const report = await next("6");
    expect(report.replicas[0]).toMatchObject({ outcome: "ok", points: 2, backlog: { points: 0 } });
    expect(await times("primary")).toEqual([1, 2, 3, 4, 5, 6]);
    expect(await times("far")).toEqual([5, 6]);
  });

  it("keeps what a replica has by name alone, and sends it", async () => {
    const { site, next, times, points, prunable } = await working(keepingMoreOffsite(10));
    await next("one");
    const bringBack = await moveAway(site);
    for (const text of ["two", "three", "four"]) await next(text);
    await bringBack();
    expect(await prunable()).toEqual([1]);
    const [, second, third] = await points();
    await fs.writeFile(site.at("replicas", "far", second?.name ?? ""), "rubbish");
    await fs.mkdir(site.at("replicas", "far", "forgotten"), { recursive: true });
    await fs.writeFile(site.at("replicas", "far", "forgotten", third?.id ?? ""), "");
    expect(await prunable()).toEqual([1]);
    expect((await next("five")).outcome).toBe("ok");
    expect(await times("far")).toEqual([1, 2, 3, 4, 5]);
    expect(await times("primary")).toEqual([5]);
  });

  it("lets a dead replica hold back no more than the policy allows, and counts what is given up", async () => {
    const { site, next, times } = await working(keepingMoreOffsite(1));

    await next("one");
    await moveAway(site);
    await next("two");
    await next("three");
    const report = await next("four");
    expect(report.prune[0]).toMatchObject({ location: "primary", givenUp: 1 });
    expect(await times("primary")).toEqual([3, 4]);
  });

  it("replicates what is already there when the source is gone", async () => {
    const { site, next, run, times } = await working();
    const bringBack = await next("one").then(() => moveAway(site));
    await next("two");
    await bringBack();
    await fs.rename(site.at("docs"), site.at("moved"));
    const report = await run();
    expect(report).toMatchObject({ outcome: "failed", sources: [{ outcome: "failed", point: undefined }] });
    expect(report.sources[0]?.errors[0]?.code).toBe("source_missing");
    expect(report.replicas).toMatchObject([{ outcome: "ok", points: 1 }]);
    expect(await times("far")).toEqual([1, 2]);
  });
});
