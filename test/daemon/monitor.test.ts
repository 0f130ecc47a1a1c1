import * as fs from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { newestOf, seriesOf } from "../../src/daemon/known-location.ts";
import { Monitor } from "../../src/daemon/monitor.ts";
import { silentLogger } from "../../src/host/log.ts";
import { cancelled } from "../../src/host/cancel.ts";
import type { Location } from "../../src/job/locations.ts";
import { OpenLocations } from "../../src/job/open-locations.ts";
import { StateFolder } from "../../src/job/state-folder.ts";
import { UnlockedRecords } from "../../src/job/unlocked-records.ts";
import type { Config } from "../../src/policy/config.ts";
import { forgetPoint, loadCatalog } from "../../src/repository/points/catalog.ts";
import type { RecoveryPoint } from "../../src/repository/points/manifest.ts";
import { putSmallObject } from "../../src/repository/points/small-objects.ts";
import { commitEmpty } from "../helpers/commit-empty.ts";
import { ManualClock } from "../helpers/manual-clock.ts";
import { makeSite, type Site } from "../helpers/site.ts";

const start = Date.UTC(2026, 10, 22);
const minute = 60_000;

async function watched(rest?: string) {
  const clock = new (class extends ManualClock {
    /** The pauses between tries of a storage are over at once. */
    override sleep(ms: number, signal?: AbortSignal): Promise<void> {
      return ms < 30_000 ? Promise.resolve() : super.sleep(ms, signal);
    }
  })(start);
  const site = await makeSite({ clock, ...(rest === undefined ? {} : { rest }) });
  const config = (): Config => site.config;
  const locations = new OpenLocations(config, clock);
  const options = { config, state: new StateFolder(site.config.repository.state), clock, log: silentLogger };
  const make = async (opened: Pick<OpenLocations, "location"> = locations): Promise<Monitor> => {
    const monitor = new Monitor({ ...options, locations: opened });
    await monitor.restore();
    return monitor;
  };
  return { clock, site, locations, make };
}

/** Commits a point of so many minutes after the start. */
async function commit(site: Site, minutes: number, policy = "often", source = "docs"): Promise<RecoveryPoint> {
  return await commitEmpty(site.primary, { time: start + minutes * minute, policy, source });
}

/** The newest and the newest verified point of the first series at a location, in minutes after the start. */
function seen(monitor: Monitor, { config }: Site, location = "primary"): { newest?: number; verified?: number } {
  const series = seriesOf(config.policies).find((one) => one.location === location);
  const known = monitor.watch(location)?.known;
  if (series === undefined || known === undefined) return {};
  const minutes = (points: typeof known.newest): number | undefined => {
    const time = newestOf(points, series, config.policies)?.time;
    return time === undefined ? undefined : (time - start) / minute;
  };
  const [newest, verified] = [minutes(known.newest), minutes(known.verified)];
  return { ...(newest === undefined ? {} : { newest }), ...(verified === undefined ? {} : { verified }) };
}

async function prove(site: Site, point: RecoveryPoint, result: "passed" | "failed"): Promise<void> {
  const proof = {
    version: 1,
    point: point.id,
    time: new Date(start).toISOString(),
    method: "read-data",
    result,
  } as const;
  await putSmallObject(site.primary, "proofs", { ...proof, seconds: 1, detail: "" });
}

describe("what is known of the primary", () => {
  it("is its newest point, the newest verified one, and the counts", async () => {
    const { site, clock, make } = await watched();
    await clock.advance(10 * minute);
    const monitor = await make();
    await monitor.look(true);
    expect(seen(monitor, site)).toEqual({});
    const older = await commit(site, 1);
    const newer = await commit(site, 2);
    await prove(site, older, "passed");
    await prove(site, newer, "failed");
    await monitor.look(true);
    expect(seen(monitor, site)).toEqual({ newest: 2, verified: 1 });
    expect(monitor.watch("primary")?.known?.counts).toEqual([{ source: "docs", count: 2 }]);
  });

  it("doesn't count what is dated in the future, or damaged", async () => {
    const { site, make } = await watched();
    await commit(site, 1);
    const damaged = await commit(site, 2);
    await commit(site, 100);
    await fs.writeFile(site.at("repository", damaged.name), "nonsense");
    const monitor = await make();
    await monitor.look(false);
    expect(seen(monitor, site)).toEqual({ newest: 1 });
    // Neither 1 nor 2 minutes after the start is further ahead of the clock than clocks may differ.
    expect(monitor.watch("primary")?.known?.inFuture).toBe(1);
  });

  it("tells policies that share a source apart, and looks past the other's points", async () => {
    const { site, make } = await watched(`
sources: { docs: { directory: { path: docs } } }
policies:
  daily: { sources: [docs], schedule: { manual: true }, keep: { last: 2 } }
  hourly: { sources: [docs], schedule: { manual: true }, keep: { last: 2 } }
`);
    await commit(site, 1, "daily");
    await commit(site, 2, "hourly");
    await commit(site, 3, "hourly");
    const monitor = await make();
    await monitor.look(false);
    expect(seen(monitor, site)).toEqual({ newest: 1 });
  });
});

describe("what is known of a replica", () => {
  async function replicated(minutes: number) {
    const watch = await watched();
    const point = await commit(watch.site, minutes);
    const { repository: far } = await watch.locations.replica("far");
    await far.storage.put(point.name, [await watch.site.primary.storage.get(point.name)]);
    return { ...watch, point, far };
  }

  it("counts as of the future what claims to be younger than its receipt, also when that time has come", async () => {
    const { site, clock, make, point } = await replicated(10);
    const received = new Date(start + minute);
    await fs.utimes(site.at("replicas", "far", point.name), received, received);
    await clock.advance(20 * minute);
    const monitor = await make();
    await monitor.look(false);
    expect(monitor.watch("far")?.known?.inFuture).toBe(1);
    expect(monitor.watch("primary")?.known?.inFuture).toBe(0);
  });

  it("counts nothing as backlog that was forgotten there", async () => {
    const { make, far } = await replicated(1);
    const [there] = (await loadCatalog(far)).points;
    if (there === undefined) throw new Error("no point");
    await forgetPoint(far, there, "test");
    const monitor = await make();
    await monitor.look(false);
    expect(monitor.backlogs).toEqual([{ policy: "often", location: "far", points: 0, bytes: 0 }]);
  });

  it("counts nothing as backlog that has no place beside what is there", async () => {
    const rest = `
replicas: { far: { path: replicas/far } }
sources: { docs: { directory: { path: docs } } }
policies:
  often: { sources: [docs], schedule: { manual: true }, keep: { last: 9 }, replicate: { far: { keep: { daily: 5 } } } }
`;
    const { site, locations, make } = await watched(rest);
    const { repository: far } = await locations.replica("far");
    await commit(site, 2);
    await commit(site, 3);
    const backlog = async (): Promise<number | undefined> => {
      const monitor = await make();
      await monitor.look(false);
      return monitor.backlogs[0]?.points;
    };
    expect(await backlog()).toBe(2);
    await commitEmpty(far, { time: start + minute, policy: "often", source: "docs" });
    expect(await backlog()).toBe(1);
  });
});

describe("a location that can't be reached", () => {
  it("keeps its last known point, across a restart too, and its backlog grows", async () => {
    const { site, locations, make } = await watched();
    await commit(site, 1);
    const { repository: far } = await locations.replica("far");
    const monitor = await make();
    const [name = ""] = await namesOf(site);
    await far.storage.put(name, [await site.primary.storage.get(name)]);
    await monitor.look(false);
    expect(seen(monitor, site, "far")).toEqual({ newest: 1 });
    expect(monitor.backlogs).toEqual([{ policy: "often", location: "far", points: 0, bytes: 0 }]);

    await fs.rename(site.at("replicas", "far"), site.at("replicas", "away"));
    await commit(site, 2);
    const restarted = await make();
    expect(seen(restarted, site, "far")).toEqual({ newest: 1 });
    await restarted.look(false);
    expect(restarted.watch("far")).toMatchObject({ reachable: false, error: { code: "storage_unreachable" } });
    expect(seen(restarted, site, "far")).toEqual({ newest: 1 });
    expect(seen(restarted, site)).toEqual({ newest: 2 });
    expect(restarted.backlogs).toEqual([{ policy: "often", location: "far", points: 1, bytes: 7 }]);
  });

  it("holds up nobody, is asked once at a time, and given up after a minute", async () => {
    const { site, clock, locations, make } = await watched();
    let asked = 0;
    const location = async (name: string, signal?: AbortSignal): Promise<Location> => {
      if (name === "primary") return await locations.location(name, signal);
      asked += 1;
      const { promise, reject } = Promise.withResolvers<never>();
      signal?.addEventListener("abort", () => reject(cancelled()));
      return await promise;
    };
    await commit(site, 1);
    const monitor = await make({ location });
    const looks = Promise.all([monitor.look(false), monitor.look(false)]);
    await monitor.look(false, undefined, ["primary"]);
    expect(seen(monitor, site)).toEqual({ newest: 1 });
    expect(asked).toBe(1);
    await clock.advance(minute);
    await looks;
    expect(monitor.watch("far")).toMatchObject({ reachable: false, error: { code: "storage_unreachable" } });
  });
});

const locking = `
replicas:
  vault: { s3: { bucket: recovery, endpoint: "http://127.0.0.1:1" }, object_lock: compliance }
sources: { docs: { directory: { path: docs } } }
policies:
  often: { sources: [docs], schedule: { manual: true }, keep: { last: 2 }, replicate: { vault: { lock: 4d } } }
  plain: { sources: [docs], schedule: { manual: true }, keep: { last: 2 }, replicate: { vault: {} } }
`;

it("what a replication could not lock is as whoever replicated last has noted it, also before the first look", async () => {
  const { site, make } = await watched(locking);
  const records = new UnlockedRecords(new StateFolder(site.config.repository.state));
  const monitor = await make();
  expect(monitor.unlocked("often", "vault")).toBeUndefined();
  await records.note({ policy: "often", location: "vault" }, 3);
  await records.note({ policy: "plain", location: "vault" }, 5);
  await monitor.look(false, undefined, ["primary"]);
  expect([monitor.unlocked("often", "vault"), monitor.unlocked("plain", "vault")]).toEqual([3, undefined]);
  await records.note({ policy: "often", location: "vault" }, 0);
  expect((await make()).unlocked("often", "vault")).toBe(0);
});

async function namesOf({ primary }: Site): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of primary.storage.list("points/")) names.push(name);
  return names;
}
