import * as fs from "node:fs/promises";
import { expect, it } from "vitest";
import { readHistory } from "../../src/daemon/read-history.ts";
import { OpenLocations } from "../../src/job/open-locations.ts";
import { hour } from "../../src/policy/units.ts";
import type { RecoveryPoint } from "../../src/repository/points/manifest.ts";
import { putSmallObject } from "../../src/repository/points/small-objects.ts";
import { commitEmpty } from "../helpers/commit-empty.ts";
import { ManualClock } from "../helpers/manual-clock.ts";
import { makeSite } from "../helpers/site.ts";
import { VersionedStorage } from "../helpers/versioned-storage.ts";

const start = Date.UTC(2026, 10, 22);

/** A site with the policy `often`: objective one hour, here two hours at `far`, `keep: { last: 2 }`; and points at the given hours. */
async function siteWith(...hours: number[]) {
  const clock = new (class extends ManualClock {
    /** The pauses between tries of a storage are over at once. */
    override sleep(ms: number, signal?: AbortSignal): Promise<void> {
      return ms < 30_000 ? Promise.resolve() : super.sleep(ms, signal);
    }
  })(start + 10 * hour);
  const site = await makeSite({ clock });
  const points: RecoveryPoint[] = [];
  for (const one of hours) {
    points.push(await commitEmpty(site.primary, { time: start + one * hour, previous: points.at(-1) }));
  }
  const locations = new OpenLocations(() => site.config, clock);
  const read = async (settled: Record<string, string[]> = {}) =>
    await readHistory(
      { config: site.config, locations, clock },
      { locations: ["primary", "far"], nextRuns: { often: start + 11 * hour }, settled },
      {},
    );
  return { site, points, locations, read };
}

it("tells each source's points at each location, what is proven and held, and where the objective was missed", async () => {
  const { site, points, locations, read } = await siteWith(1, 2, 5, 9);
  const [first, second] = points as [RecoveryPoint, RecoveryPoint];
  const { repository: far } = await locations.replica("far");
  await far.storage.put(first.name, [await site.primary.storage.get(first.name)]);
  const time = new Date(start).toISOString();
  await putSmallObject(site.primary, "holds", { version: 1, point: first.id, time, reason: "audit" });
  const proof = { version: 1, point: second.id, time, method: "restore", result: "passed" } as const;
  await putSmallObject(site.primary, "proofs", { ...proof, seconds: 1, detail: "" });

  const { unread, timelines } = await read();
  expect(unread).toEqual([]);
  expect(timelines.map(({ policy, source, location }) => [policy, source, location])).toEqual([
    ["often", "docs", "primary"],
    ["often", "docs", "far"],
  ]);
  const [here, there] = timelines;
  expect(here).toMatchObject({ count: 4, verified: 1, held: 1 });
  expect(here?.marks.map(({ id }) => id)).toEqual(points.map(({ id }) => id).toReversed());
  expect(here?.gaps).toEqual([
    { from: start + 6 * hour, to: start + 9 * hour },
    { from: start + 3 * hour, to: start + 5 * hour },
  ]);
  expect(there).toMatchObject({ count: 1, verified: 0, held: 0, gaps: [] });
});

it("tells what pruning will forget after the next capture, and why the rest stays", async () => {
  const { site, points, locations, read } = await siteWith(1, 2, 5, 9);
  const ids = points.map(({ id }) => id);
  const { prunes } = await read({ far: ids });
  expect(prunes[0]).toMatchObject({
    location: "primary",
    time: start + 11 * hour,
    rules: "last 2",
    // The next one takes a place of the two.
    keep: 1,
    reasons: [{ reason: "last", count: 1 }],
    remove: 3,
    oldest: points.slice(0, 3).map(({ id, time }) => ({ id, time })),
    givenUp: 0,
    deferred: 0,
    // Three of four, by rules that were never applied here.
    heldBack: true,
  });
  const lacking = await read({ far: ids.slice(0, 2) });
  expect(lacking.prunes[0]).toMatchObject({
    keep: 2,
    reasons: [
      { reason: "last", count: 1 },
      { reason: "not yet at far", count: 1 },
    ],
    remove: 2,
  });
  expect(lacking.prunes[1]).toMatchObject({ location: "far", keep: 0, remove: 0 });
  // Beside a newer one that is there, it isn't wanted there.
  const { repository: far } = await locations.replica("far");
  const newer = await commitEmpty(far, { time: start + 7 * hour });
  await fs.utimes(site.at("replicas", "far", newer.name), new Date(newer.time), new Date(newer.time));
  const { prunes: freed } = await read({ far: ids.slice(0, 2) });
  expect(freed[0]).toMatchObject({ keep: 1, reasons: [{ reason: "last", count: 1 }], remove: 3 });
});

it("goes by when a replica that keeps versions received a point first", async () => {
  const { site, points, locations, read } = await siteWith(1, 2, 5);
  const clock = new ManualClock(start + 6 * hour);
  const storage = new VersionedStorage(clock, "far");
  const repository = { ...site.primary, storage };
  locations.location = async (name) =>
    await Promise.resolve({ name, repository: name === "far" ? repository : site.primary });
  const put = async ({ name }: RecoveryPoint): Promise<void> =>
    await storage.put(name, [await site.primary.storage.get(name)]);
  for (const point of points) await put(point);
  const before = await read();
  await clock.advance(3 * hour);
  for (const point of points) await put(point);
  const after = await read();
  expect(after).toEqual(before);
  expect(after.timelines[1]?.count).toBe(3);
});

it("goes on without a location that can't be read", async () => {
  const { site, locations, read } = await siteWith(1);
  await locations.replica("far");
  await fs.rename(site.at("replicas", "far"), site.at("replicas", "away"));
  const { unread, timelines } = await read();
  expect(unread).toMatchObject([{ location: "far", error: { code: "storage_unreachable" } }]);
  expect(timelines.map(({ location, count }) => [location, count])).toEqual([["primary", 1]]);
});
