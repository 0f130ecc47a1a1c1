import { expect, test } from "vitest";
import { CaptureGate } from "../../src/job/capture-gate.ts";
import { OpenLocations } from "../../src/job/open-locations.ts";
import { runJob } from "../../src/job/run-job.ts";
import { SingleFlight } from "../../src/job/single-flight.ts";
import { makeStages } from "../../src/job/stages.ts";
import { inlineExecutor } from "../../src/repository/threads/executor.ts";
import { FaultyStorage } from "../helpers/faulty-storage.ts";
import { ManualClock } from "../helpers/manual-clock.ts";
import { makeSite } from "../helpers/site.ts";

/** What a run says of its replica, whose disk is full when points are to be sent there. */
async function toldOfFull(appendOnly: boolean): Promise<string[]> {
  const clock = new ManualClock(Date.UTC(2026, 10, 22));
  const rest = `
replicas: { far: { path: replicas/far, append_only: ${String(appendOnly)} } }
sources: { docs: { directory: { path: docs } } }
policies: { often: { sources: [docs], schedule: { manual: true }, keep: { last: 2 }, replicate: { far: {} } } }
`;
  const { config } = await makeSite({ clock, rest });
  const [policy] = config.policies;
  if (policy === undefined) throw new Error("the site has no policy");
  const locations = new OpenLocations(() => config, clock);
  const open = locations.replica.bind(locations);
  locations.replica = async (...args) => {
    const opened = await open(...args);
    const storage = new FaultyStorage(opened.repository.storage, clock);
    storage.script({ operation: "put", name: /^packs/, times: 99, fault: { kind: "fail", code: "storage_full" } });
    return { ...opened, repository: { ...opened.repository, storage } };
  };
  const stages = makeStages({
    config: () => config,
    locations,
    executor: inlineExecutor,
    clock,
    host: "test",
    version: "0",
  });
  const context = { stages, clock, gate: new CaptureGate(1), replications: new SingleFlight() };
  const { replicas } = await runJob(context, { policy });
  return replicas.flatMap(({ errors }) => errors.map(({ code, message }) => `${code}: ${message}`));
}

test("a full replica where this host may only add is told with what frees space there", async () => {
  const [error, ...others] = await toldOfFull(true);
  expect(others).toEqual([]);
  expect(error).toMatch(/^storage_full: .*This host may only add to far: .*rights to delete there/);
});

test("where this host may delete, the storage's own advice stands", async () => {
  const [error] = await toldOfFull(false);
  expect(error).toMatch(/^storage_full: /);
  expect(error).not.toContain("may only add");
});
