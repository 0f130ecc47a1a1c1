/** A policy with a `lock`: what its runs lock, what they leave alone, and a bucket that doesn't lock. */
import { writeFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { CaptureGate } from "../../src/job/capture-gate.ts";
import { connectReplica, openPrimary } from "../../src/job/locations.ts";
import { OpenLocations } from "../../src/job/open-locations.ts";
import type { JobReport, Replicated } from "../../src/job/report.ts";
import { runJob } from "../../src/job/run-job.ts";
import { SingleFlight } from "../../src/job/single-flight.ts";
import { StateFolder } from "../../src/job/state-folder.ts";
import { makeStages } from "../../src/job/stages.ts";
import { UnlockedRecords } from "../../src/job/unlocked-records.ts";
import { lockEnd } from "../../src/replicate/point-locks.ts";
import { prepareReplica } from "../../src/replicate/prepare-replica.ts";
import { commitPoint, loadCatalog } from "../../src/repository/points/catalog.ts";
import type { Manifest } from "../../src/repository/points/manifest.ts";
import { inlineExecutor } from "../../src/repository/threads/executor.ts";
import { openStorage } from "../../src/storage/open.ts";
import { ManualClock } from "../helpers/manual-clock.ts";
import { rejection } from "../helpers/rejection.ts";
import { makeSite } from "../helpers/site.ts";
import { VersionedStorage } from "../helpers/versioned-storage.ts";

const hour = 3_600_000;
const day = 24 * hour;
const rest = (keep: string): string => `
replicas:
  vault: { s3: { bucket: recovery, endpoint: "http://127.0.0.1:1" }, object_lock: compliance }
sources: { docs: { directory: { path: docs } } }
policies:
  often:
    sources: [docs]
    schedule: { manual: true }
    keep: { last: 5 }
    replicate: { vault: { keep: ${keep}, lock: 4d } }
`;

async function working(keep = "{ last: 1 }") {
  const clock = new ManualClock(Date.UTC(2026, 10, 22));
  const site = await makeSite({ clock, rest: rest(keep) });
  const storage = new VersionedStorage(clock);
  const repository = await prepareReplica({ primary: site.primary, storage, create: true });
  const vault = { name: "vault", repository };
  const real = new OpenLocations(() => site.config, clock);
  const primary = real.primary.bind(real);
  const open = async (name: string) => (name === vault.name ? await Promise.resolve(vault) : await primary());
  const locations = { primary, replica: open, location: open, alone: open };
  const config = (): typeof site.config => site.config;
  const stages = makeStages({ config, locations, executor: inlineExecutor, clock, host: "test", version: "0" });
  const context = { stages, clock, gate: new CaptureGate(1), replications: new SingleFlight<Replicated>() };
  const [policy] = site.config.policies;
  if (policy === undefined) throw new Error("the site has no policy");
  let runs = 0;
  return {
    clock,
    storage,
    repository,
    prune: async () => await stages.prune({ policy, location: vault.name }),
    points: async () => (await loadCatalog(repository)).points,
    /** What is noted for the daemon. */
    unlocked: async () =>
      await new UnlockedRecords(new StateFolder(site.config.repository.state)).read({
        policy: policy.name,
        location: vault.name,
      }),
    run: async (): Promise<JobReport> => {
      await writeFile(site.at("docs", "letter"), `letter ${++runs}`);
      return await runJob(context, { policy });
    },
  };
}

test("what the rules keep is renewed; what they give up stays until its lock ends, and is forgotten then", async () => {
  const { clock, storage, points, unlocked, run } = await working();
  expect(await unlocked()).toBeUndefined();
  expect(await run()).toMatchObject({ outcome: "ok" });
  expect(await unlocked()).toBe(0);
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

test("what a host has locked it remembers: the next run of the same quarter extends nothing", async () => {
  const { storage, run } = await working();
  await run();
  const extended = storage.extended.length;
  expect(extended).toBeGreaterThan(0);
  await run();
  expect(storage.extended).toHaveLength(extended);
});

test("points of the future, and of sources that the policy hasn't, aren't locked with the policy's own", async () => {
  const { clock, storage, repository, points, run } = await working();
  await run();
  const [genuine] = await points();
  if (genuine === undefined) throw new Error("no point");
  const forge = async (changes: Partial<Manifest>) =>
    await commitPoint(repository, { ...genuine.manifest, ...changes });
  const inDays = (days: number): string => new Date(clock.now() + days * day).toISOString();
  const due = await forge({ time: inDays(10) });
  const strangers = [due, await forge({ time: inDays(400) }), await forge({ source: "other" })];
  await clock.advance(11 * day);
  // Its time has come, and it looks as if it had been received after that.
  await storage.put(due.name, [await storage.get(due.name)]);
  await run();
  expect(strangers.map(({ name }) => storage.until(name))).toEqual([undefined, undefined, undefined]);
  expect(storage.until("format")).toBe(lockEnd(clock.now(), 4 * day));
});

test("who puts the genuine points there again, as they were, and forged ones beside them, pushes none out", async () => {
  const { clock, storage, repository, points, prune, run } = await working("{ daily: 9 }");
  for (let days = 0; days < 3; days++) {
    await run();
    await clock.advance(day);
  }
  const genuine = await points();
  for (const { name, manifest, time } of genuine) {
    await storage.put(name, [await storage.get(name)]);
    await commitPoint(repository, { ...manifest, time: new Date(time + hour).toISOString() });
  }
  await clock.advance(9 * day);
  await prune();
  const left = new Set((await points()).map(({ id }) => id));
  expect(genuine.filter(({ id }) => !left.has(id))).toEqual([]);
});

test("a bucket that doesn't lock isn't the replica that the configuration means", async () => {
  const clock = new ManualClock(Date.UTC(2026, 10, 22));
  const { config, primary } = await makeSite({ clock, rest: rest("{ last: 1 }") });
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
