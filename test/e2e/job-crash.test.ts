/**
 * The whole job, cut off at every step that it takes on either disk: killed there, and with the power lost (what wasn't synced
 * is gone, in part, or torn). After each cut everything is started again and must be found in order.
 */
import { mkdir, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { Clock } from "../../src/host/clock.ts";
import { CaptureGate } from "../../src/job/capture-gate.ts";
import type { JobReport, Replicated } from "../../src/job/report.ts";
import { runJob } from "../../src/job/run-job.ts";
import { SingleFlight } from "../../src/job/single-flight.ts";
import { makeStages } from "../../src/job/stages.ts";
import type { Config, Policy } from "../../src/policy/config.ts";
import { loadConfig } from "../../src/policy/load.ts";
import { prepareReplica } from "../../src/replicate/prepare-replica.ts";
import { loadCatalog } from "../../src/repository/points/catalog.ts";
import { checkRepository } from "../../src/repository/check/check.ts";
import { inlineExecutor } from "../../src/repository/threads/executor.ts";
import type { Secret } from "../../src/repository/keys/key-objects.ts";
import {
  addKey,
  createRepository,
  listKeys,
  openRepository,
  removeKey,
  type Repository,
} from "../../src/repository/repository.ts";
import { sweep } from "../../src/repository/sweep/sweep.ts";
import { createFsStorage, FsStorage } from "../../src/storage/drivers/fs.ts";
import { ManualClock } from "../helpers/manual-clock.ts";
import { SimulatedDisk } from "../helpers/simulated-disk.ts";
import { tempDir } from "../helpers/temp-dir.ts";

const secret = { type: "key-file", secret: Buffer.alloc(32, 9) } as const;
const hour = 3_600_000;
const start = Date.UTC(2026, 5, 1);
/** What both disks take for the time: a sweep refuses to work when clocks disagree. */
let diskTime = start;

const configText = (folder: string): string => `
version: 1
repository: { path: /primary, key_file: /key, state: ${folder}/state }
replicas: { other: { path: /other } }
sources:
  files: { directory: { path: ${folder}/source/files } }
  disk: { image: { path: ${folder}/source/disk.img } }
policies:
  all:
    sources: [files, disk]
    schedule: { rpo: 1h }
    keep: { last: 2 }
    replicate: { other: { keep: { last: 1 } } }
maintenance: { grace: 2h }
`;

/** Both disks, at one moment. */
interface Site {
  readonly primary: SimulatedDisk;
  readonly other: SimulatedDisk;
}

class World {
  readonly source: string;
  readonly config: Config;
  readonly policy: Policy;

  constructor(folder: string) {
    this.source = join(folder, "source");
    this.config = loadConfig(configText(folder), "test.yaml");
    this.policy = this.config.policies[0] as Policy;
  }

  /** What the source holds in its nth state. */
  async write(version: number): Promise<void> {
    const files = join(this.source, "files");
    await rm(files, { recursive: true, force: true });
    await mkdir(join(files, "below"), { recursive: true });
    await writeFile(join(files, "same"), "always");
    await writeFile(join(files, "below", `new-${String(version)}`), Buffer.alloc(5000, version));
    await symlink("same", join(files, "link"));
    await writeFile(join(this.source, "disk.img"), Buffer.alloc(300_000, version));
  }

  async names(): Promise<string[]> {
    return (await readdir(this.source, { recursive: true })).toSorted();
  }

  async newSite(): Promise<Site> {
    const site = {
      primary: new SimulatedDisk({ now: () => diskTime }),
      other: new SimulatedDisk({ now: () => diskTime }),
    };
    for (const [location, disk] of Object.entries(site))
      await createFsStorage({ location, root: "/store", files: disk });
    await createRepository({
      storage: storageOn(site.primary, "primary", new ManualClock()),
      clock: new ManualClock(),
      key: secret,
      label: "test",
    });
    return site;
  }

  async run(site: Site, clock: Clock): Promise<JobReport> {
    diskTime = clock.now();
    const primary = async (): Promise<Repository> => await open(site.primary, "primary", clock);
    const replica = async (): Promise<Repository> => {
      const storage = storageOn(site.other, "other", clock);
      return await prepareReplica({ primary: await primary(), storage, create: true });
    };
    const location = async (name: string) => ({
      name,
      repository: await (name === "primary" ? primary() : replica()),
    });
    const locations = { primary: async () => await location("primary"), replica: location, location, alone: location };
    const stages = makeStages({
      config: () => this.config,
      locations,
      executor: inlineExecutor,
      clock,
      host: "test",
      version: "0",
    });
    const context = { stages, clock, gate: new CaptureGate(1), replications: new SingleFlight<Replicated>() };
    return await runJob(context, { policy: this.policy });
  }
}

function storageOn(disk: SimulatedDisk, location: string, clock: Clock): FsStorage {
  return new FsStorage({ location, root: "/store", files: disk, clock });
}

async function open(disk: SimulatedDisk, location: string, clock: Clock, given: Secret = secret): Promise<Repository> {
  return await openRepository({ storage: storageOn(disk, location, clock), clock, secret: given });
}

async function pointsOf(disk: SimulatedDisk): Promise<string[]> {
  const { points, damaged } = await loadCatalog(await open(disk, "looked at", new ManualClock()));
  expect(damaged).toEqual([]);
  return points.map(({ id }) => id);
}

/** Every committed point is whole, to the last byte. */
async function expectWhole(disk: SimulatedDisk, replica: boolean): Promise<void> {
  const repository = await open(disk, "checked", new ManualClock());
  const report = await checkRepository(repository, {
    readData: { group: 1, of: 1 },
    executor: inlineExecutor,
    replica,
  });
  expect(report.findings.filter(({ kind }) => kind !== "index")).toEqual([]);
}

/** The state of a disk after a cut, in several ways. */
function survivors(disk: SimulatedDisk, step: number): SimulatedDisk[] {
  return [disk.afterCrash({ dropUnsynced: false }), disk.afterCrash({ dropUnsynced: true, seed: step })];
}

describe.each(["primary", "other"] as const)("a job cut off at every step of the disk %s", (cut) => {
  test("leaves every committed point whole, claims no other, leaves the source clean, and the next run succeeds", {
    timeout: 600_000,
  }, async () => {
    const world = new World(await tempDir());
    const before = await world.newSite();
    for (const [run, version] of [1, 2].entries()) {
      await world.write(version);
      expect((await world.run(before, new ManualClock(start + run * hour))).outcome).toBe("ok");
    }
    const earlier = await pointsOf(before.primary);
    expect(earlier).toHaveLength(4);
    await world.write(3);
    const source = await world.names();

    let step = 1;
    for (let done = false; !done; step++) {
      const site: Site = { primary: before.primary.copy(), other: before.other.copy() };
      site[cut].crashAt(step);
      const report = await world.run(site, new ManualClock(start + 3 * hour));
      done = !site[cut].crashed;
      expect(report.outcome === "ok", `step ${String(step)}`).toBe(done);
      expect(await world.names()).toEqual(source);

      for (const [way, disk] of survivors(site[cut], step).entries()) {
        const after: Site = { ...site, [cut]: disk };
        const there = { primary: after.primary.copy(), other: after.other.copy() };
        await expectWhole(there.primary, false);
        await expectWhole(there.other, true);
        const ids = await pointsOf(there.primary);
        // What the report says was captured is there; what retention may not have forgotten yet is there.
        const captured = report.sources.flatMap(({ point }) => (point === undefined ? [] : [point.id]));
        expect(ids).toEqual(expect.arrayContaining([...earlier.slice(2), ...captured]));

        const next = await world.run(there, new ManualClock(start + 4 * hour));
        expect(next.outcome, `after step ${String(step)}, way ${String(way)}`).toBe("ok");
        expect(await pointsOf(there.primary)).toHaveLength(4);
        expect(await pointsOf(there.other)).toHaveLength(2);
        await expectWhole(there.other, true);
      }
    }
    expect(step).toBeGreaterThan(40);
  });
});

test("a sweep cut off at every step leaves every point whole, and the next two visits free the space", {
  timeout: 600_000,
}, async () => {
  const world = new World(await tempDir());
  const site = await world.newSite();
  for (let run = 0; run < 4; run++) {
    await world.write(run + 1);
    await world.run(site, new ManualClock(start + run * hour));
  }
  const visit = async (disk: SimulatedDisk, at: number): Promise<unknown> => {
    const clock = new ManualClock(at);
    diskTime = at;
    const repository = await open(disk, "primary", clock);
    return await clock.runUntil(sweep(repository, { grace: 0, executor: inlineExecutor }));
  };
  const ids = await pointsOf(site.primary);
  await visit(site.primary, start + 10 * hour);
  const done = site.primary.copy();
  await visit(done, start + 20 * hour);
  const swept = [...done.contents().keys()].filter((name) => name.includes("/packs/")).length;

  let steps = 0;
  for (let crashed = true; crashed; ) {
    const disk = site.primary.copy();
    disk.crashAt(++steps);
    await visit(disk, start + 20 * hour).catch(() => undefined);
    crashed = disk.crashed;
    for (const survivor of survivors(disk, steps)) {
      expect(await pointsOf(survivor)).toEqual(ids);
      await expectWhole(survivor, false);
      for (const at of [30, 40, 50]) await visit(survivor, start + at * hour);
      await expectWhole(survivor, false);
      expect([...survivor.contents().keys()].filter((name) => name.includes("/packs/")).length).toBeLessThanOrEqual(
        swept,
      );
    }
  }
  expect(steps).toBeGreaterThan(5);
});

test("a change of keys cut off at every step never locks anyone out", async () => {
  const clock = new ManualClock();
  const disk = new SimulatedDisk({ now: () => diskTime });
  await createFsStorage({ location: "primary", root: "/store", files: disk });
  await createRepository({ storage: storageOn(disk, "primary", clock), clock, key: secret, label: "old" });
  const fresh = { type: "key-file", secret: Buffer.alloc(32, 1) } as const;
  const change = async (on: SimulatedDisk): Promise<void> => {
    const repository = await open(on, "primary", clock);
    await addKey(repository, fresh, "new");
    const old = (await listKeys(repository.storage)).find(({ label }) => label === "old");
    await removeKey(repository.storage, String(old?.id));
  };
  let steps = 0;
  for (let crashed = true; crashed; ) {
    const cut = disk.copy();
    cut.crashAt(++steps);
    const changed = await change(cut).then(
      () => true,
      () => false,
    );
    crashed = cut.crashed;
    expect(changed).toBe(!crashed);
    for (const survivor of survivors(cut, steps)) {
      const opened = await Promise.allSettled([
        open(survivor, "primary", clock),
        open(survivor, "primary", clock, fresh),
      ]);
      expect(
        opened.some(({ status }) => status === "fulfilled"),
        `step ${String(steps)}`,
      ).toBe(true);
      expect(opened[1]?.status === "fulfilled" || !changed).toBe(true);
    }
  }
  expect(steps).toBeGreaterThan(3);
});
