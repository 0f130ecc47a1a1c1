/** A policy with a `lock`: what its runs lock, what they leave alone, and a bucket that doesn't lock. */
import { writeFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { CaptureGate } from "../../src/job/capture-gate.ts";
import { connectReplica, openPrimary } from "../../src/job/locations.ts";
import { OpenLocations } from "../../src/job/open-locations.ts";
import type { JobReport } from "../../src/job/report.ts";
import { runJob } from "../../src/job/run-job.ts";
import { SingleFlight } from "../../src/job/single-flight.ts";
import { StateFolder } from "../../src/job/state-folder.ts";
import { makeStages } from "../../src/job/stages.ts";
import { lockEnd } from "../../src/replicate/point-locks.ts";
import { prepareReplica } from "../../src/replicate/prepare-replica.ts";
import { loadCatalog } from "../../src/repository/points/catalog.ts";
import { inlineExecutor } from "../../src/repository/threads/executor.ts";
import { openStorage } from "../../src/storage/open.ts";
import { ManualClock } from "../helpers/manual-clock.ts";
import { rejection } from "../helpers/rejection.ts";
import { makeSite } from "../helpers/site.ts";
import { VersionedStorage } from "../helpers/versioned-storage.ts";

const hour = 3_600_000;
const day = 24 * hour;
const rest = `
replicas:
  vault: { s3: { bucket: recovery, endpoint: "http://127.0.0.1:1" }, object_lock: compliance }
sources: { docs: { directory: { path: docs } } }
policies:
  often:
    sources: [docs]
    schedule: { manual: true }
    keep: { last: 5 }
    replicate: { vault: { keep: { last: 1 }, lock: 4d } }
`;

async function working() {
  const clock = new ManualClock(Date.UTC(2026, 10, 22));
  const site = await makeSite({ clock, rest });
  const storage = new VersionedStorage(clock);
  const repository = await prepareReplica({ primary: site.primary, storage, create: true });
  const vault = { name: "vault", repository };
  const real = new OpenLocations(() => site.config, clock);
  const primary = real.primary.bind(real);
  const open = async (name: string) => (name === vault.name ? await Promise.resolve(vault) : await primary());
  const locations = { primary, replica: open, location: open, alone: open };
  const config = (): typeof site.config => site.config;
  const stages = makeStages({ config, locations, executor: inlineExecutor, clock, host: "test", version: "0" });
  const context = { stages, clock, gate: new CaptureGate(1), replications: new SingleFlight() };
  const [policy] = site.config.policies;
  if (policy === undefined) throw new Error("the site has no policy");
  let runs = 0;
  return {
    clock,
    storage,
    points: async () => (await loadCatalog(repository)).points,
    run: async (): Promise<JobReport> => {
      await writeFile(site.at("docs", "letter"), `letter ${++runs}`);
      return await runJob(context, { policy });
    },
  };
}

test("what the rules keep is renewed; what they give up stays until its lock ends, and is forgotten then", async () => {
  const { clock, storage, points, run } = await working();
  expect(await run()).toMatchObject({ outcome: "ok" });
  const [first] = await points();
  const until = lockEnd(clock.now(), 4 * day);
  expect(storage.until(first?.name ?? "")).toBe(until);
  await clock.advance(day);
  await run();
  expect(await points()).toHaveLength(2);
  expect(storage.until(first?.name ?? "")).toBe(until + day);
  for (let days = 0; days < 5; days++) {
    await clock.advance(day);
    await run();
  }
  // The newest only, and those whose locks haven't ended: the second run was the last to keep the first point.
  const names = (await points()).map(({ name }) => name);
  expect(names).not.toContain(first?.name);
  expect(names.every((name) => (storage.until(name) ?? 0) > clock.now())).toBe(true);
  expect(storage.until(names.at(-1) ?? "")).toBe(lockEnd(clock.now(), 4 * day));
});

test("a bucket that doesn't lock isn't the replica that the configuration means", async () => {
  const clock = new ManualClock(Date.UTC(2026, 10, 22));
  const { config, primary } = await makeSite({ clock, rest });
  const storage = new VersionedStorage(clock, "vault", { enabled: false });
  const seen = { path: "s3://recovery/?endpoint=http://127.0.0.1:1&region=us-east-1" };
  const state = new StateFolder(config.repository.state);
  await state.write("replicas/vault.json", { ...seen, repository: primary.keys.repositoryId });
  const open: typeof openStorage = (address, options) =>
    address.kind === "s3" ? storage : openStorage(address, options);
  const connecting = connectReplica(config, await openPrimary(config), "vault", { clock, open });
  expect(await rejection(connecting)).toMatchObject({ code: "storage_denied" });
  expect(storage.versions.size).toBe(0);
});
