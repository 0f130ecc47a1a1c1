import { existsSync } from "node:fs";
import * as fs from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { pruneStage } from "../../src/job/prune-stage.ts";
import type { Config, Policy } from "../../src/policy/config.ts";
import { putSmallObject } from "../../src/repository/points/small-objects.ts";
import { moveAway, working } from "../helpers/working-job.ts";

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

  it("takes nothing over from a point whose newest proof says that it isn't whole", async () => {
    const { clock, locations, next, run, points } = await working();
    await clock.advance(Math.max(0, Date.now() - clock.now()));
    await next("one");
    const read = async (): Promise<number | undefined> => {
      await clock.advance(3_600_000);
      return (await run()).sources[0]?.point?.read;
    };
    expect(await read()).toBe(0);
    const { repository } = await locations.location("primary");
    const point = (await points()).at(-1)?.id ?? "";
    const time = new Date(clock.now()).toISOString();
    const proof = { version: 1, point, time, method: "read-data", result: "failed", seconds: 1, detail: "" } as const;
    await putSmallObject(repository, "proofs", proof);
    expect(await read()).toBeGreaterThan(0);
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

  it("sends the points all the same where the configuration can't be stored, and says so", async () => {
    const { site, change, next, times } = await working();
    await next("one");
    const folder = site.at("replicas", "far", "config");
    await fs.rm(folder, { recursive: true });
    await fs.writeFile(folder, "not a folder");
    change({ ...site.config, file: { ...site.config.file, text: "changed" } });
    const report = await next("two");
    expect(report.replicas[0]).toMatchObject({ outcome: "partial", points: 1, errors: [{}] });
    expect(report.replicas[0]?.errors[0]?.message).toContain("config");
    expect(await times("far")).toEqual([1, 2]);
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

describe("a configuration that changes while a job is at work", () => {
  const edited = (config: Config, edit: (policy: Policy) => Policy): Config => ({
    ...config,
    policies: config.policies.map(edit),
  });
  const keeping = (last: number) => (policy: Policy) => ({
    ...policy,
    keep: { last },
    replicate: policy.replicate.map((one) => ({ ...one, keep: { last } })),
  });
  const sending = (to: object) => (policy: Policy) => ({
    ...policy,
    replicate: policy.replicate.map((one) => ({ ...one, replica: { ...one.replica, ...to } })),
  });
  const pruned = { outcome: "ok", kept: 2, forgotten: 1 };
  const left = { outcome: "deferred", kept: 0, forgotten: 0 };

  it.each<[string, (policy: Policy) => Policy, object[]]>([
    ["keeps more", keeping(100), [0, 1].map(() => ({ outcome: "ok", kept: 3, forgotten: 0 }))],
    ["has the policy no more", (policy) => ({ ...policy, name: "seldom" }), [left, left]],
    [
      "has its source no more",
      (policy) => ({ ...policy, sources: [] }),
      [0, 1].map(() => ({ ...left, outcome: "ok" })),
    ],
    ["replicates there no more", (policy) => ({ ...policy, replicate: [] }), [pruned, left]],
    ["may only add there", sending({ appendOnly: true }), [pruned, left]],
    ["has another place there", sending({ place: { kind: "fs", path: "elsewhere" } }), [pruned, left]],
  ])("that %s holds for what the job forgets", async (_, edit, prune) => {
    const { site, change, next, times } = await working();
    await next("one");
    await next("two");
    const report = await next("three", ({ event }) => {
      if (event === "replication-finished") change(edited(site.config, edit));
    });
    expect(report).toMatchObject({ outcome: "ok", prune });
    expect(await times("primary")).toHaveLength(prune[0] === pruned ? 2 : 3);
    expect(await times("far")).toHaveLength(3);
  });

  it("ends a prune by the rules from before", async () => {
    const { site, change, clock, locations, next, times } = await working();
    const before = edited(site.config, keeping(100));
    change(before);
    for (const text of ["1", "2", "3", "4", "5"]) await next(text);
    const wrong = edited(before, keeping(3));
    const {
      policies: [policy],
    } = wrong;
    if (policy === undefined) throw new Error("the site has no policy");
    // Taken back once something is forgotten.
    const config = (): Config => (existsSync(site.at("repository", "forgotten")) ? before : wrong);
    const report = await pruneStage({ config, clock, locations }, { policy, location: "primary" });
    expect(report).toMatchObject({ outcome: "deferred", kept: 4, forgotten: 1 });
    expect(await times("primary")).toEqual([2, 3, 4, 5]);
  });
});
