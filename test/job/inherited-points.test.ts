/** What becomes of the points of a policy that is renamed, ended, or has their source no more. */
import { existsSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { planRetention } from "../../src/cli/plan-retention.ts";
import { readHistory } from "../../src/daemon/read-history.ts";
import type { Config } from "../../src/policy/config.ts";
import { loadConfig } from "../../src/policy/load.ts";
import { planPruneStage, pruneStage } from "../../src/job/prune-stage.ts";
import { isBlocked } from "../../src/job/retention-change.ts";
import { RetentionRecords } from "../../src/job/retention-records.ts";
import { StateFolder } from "../../src/job/state-folder.ts";
import { fingerprintOf } from "../../src/prune/guard-retention.ts";
import { rejection } from "../helpers/rejection.ts";
import { working } from "../helpers/working-job.ts";

const all = "{ monthly: 24, last: 100 }";
const two = "{ last: 2 }";

/** Keep rules by the policies' names. All have the source `docs`, but those that are said to have another one. */
function configured(keep: Record<string, string>, without: readonly string[] = []): string {
  const policies = Object.entries(keep).map(
    ([name, rules]) =>
      `  ${name}: { sources: [${without.includes(name) ? "other" : "docs"}], schedule: { manual: true }, keep: ${rules} }`,
  );
  return `
sources:
  docs: { directory: { path: docs } }
  other: { directory: { path: docs } }
policies:
${policies.join("\n")}
daemon: { listen: "127.0.0.1:0" }
`;
}

/** The first policy has captured `points` of them. The prunes are of the primary, by the name of a policy. */
async function site(keep: Record<string, string>, points = 12) {
  const work = await working(configured(keep));
  let config = work.site.config;
  for (let n = 0; n < points; n++) await work.next(`letter ${n}`);
  const context = { config: (): Config => config, locations: work.locations, clock: work.clock };
  const request = (name: string) => {
    const policy = config.policies.find((one) => one.name === name);
    if (policy === undefined) throw new Error(`no policy ${name}`);
    return { policy, location: "primary" };
  };
  return {
    ...work,
    edit: (text: string): void => {
      config = loadConfig(`version: 1\nrepository: { path: repository, key_file: key }\n${text}`, work.site.configFile);
    },
    inForce: (): Config => config,
    plan: async (name: string) => await planPruneStage(context, request(name)),
    prune: async (name: string) => await pruneStage(context, request(name)),
    accept: async (name: string): Promise<void> => {
      const { change } = await planPruneStage(context, request(name));
      const records = new RetentionRecords(new StateFolder(config.repository.state));
      const fingerprint = fingerprintOf(change.after.rules);
      await records.accept(change.place, { fingerprint, time: 1, by: "root" });
    },
    /** What `config accept` looks at. */
    planned: async () =>
      await planRetention({ clock: work.clock, environment: {}, signal: new AbortController().signal }, config, {
        policies: config.policies,
        before: (_policy, _location, applied) => applied,
      }),
    forecast: async (name: string) => {
      const history = { locations: ["primary"], nextRuns: {}, settled: {} };
      const { prunes } = await readHistory({ ...context, config }, history, {});
      return prunes.find(({ policy, source }) => policy === name && source === "docs");
    },
    count: async (): Promise<number> => (await work.points()).length,
  };
}

describe("a policy is renamed while another one has its source", () => {
  test("what the renamed one keeps stays, and nothing is blocked", async () => {
    const { edit, plan, prune, count } = await site({ archive: all, often: two });
    await prune("often");
    edit(configured({ archives: all, often: two }));
    const { plan: planned, change } = await plan("often");
    expect(planned.groups[0]?.keep.filter(({ reasons }) => reasons.includes("kept by archives"))).toHaveLength(10);
    expect(isBlocked(change)).toBe(false);
    for (const name of ["often", "archives", "often"]) expect(await prune(name)).toMatchObject({ outcome: "ok" });
    expect(await count()).toBe(12);
  });

  test("removed later, before it has captured anything, it takes nothing with it", async () => {
    const { edit, prune, count } = await site({ archive: all, often: two });
    await prune("often");
    edit(configured({ archives: "{ last: 10 }", often: two }));
    await prune("often");
    expect(await count()).toBe(10);
    edit(configured({ often: two }));
    expect(await rejection(prune("often"))).toMatchObject({ code: "retention_guarded" });
    expect(await count()).toBe(10);
  });

  test("split in two, each keeps what the other one wants", async () => {
    const { edit, prune, count } = await site({ archive: all });
    await prune("archive");
    edit(configured({ few: "{ last: 7 }", many: "{ last: 9 }" }));
    await prune("few");
    expect(await count()).toBe(9);
    await prune("many");
    await prune("few");
    expect(await count()).toBe(9);
  });
});

describe("a policy ends, and only others have its source", () => {
  test.each([
    ["it is removed", configured({ often: two })],
    ["the source is taken out of it", configured({ archive: all, often: two }, ["archive"])],
    ["and the other's rules change with it", configured({ often: "{ last: 3 }" })],
  ])("%s: its points wait for consent, and then go by the rules", async (_how, text) => {
    const { edit, prune, accept, count } = await site({ archive: all, often: two });
    await prune("often");
    edit(text);
    const error = await rejection(prune("often"));
    expect(error).toMatchObject({ code: "retention_guarded" });
    expect(String(error)).toMatch(/of 12 recovery points of docs/);
    expect(await count()).toBe(12);
    await accept("often");
    expect(await prune("often")).toMatchObject({ outcome: "ok" });
    expect(await count()).toBeLessThanOrEqual(3);
  });
});

test("a policy that comes back while another one forgets its points ends that", async () => {
  const {
    site: place,
    clock,
    locations,
    edit,
    prune,
    accept,
    count,
    inForce,
  } = await site({ archive: all, often: two });
  await prune("often");
  const before = inForce();
  edit(configured({ often: two }));
  await accept("often");
  const after = inForce();
  const [policy] = after.policies;
  if (policy === undefined) throw new Error("the site has no policy");
  const config = (): Config => (existsSync(place.at("repository", "forgotten")) ? before : after);
  const report = await pruneStage({ config, clock, locations }, { policy, location: "primary" });
  expect(report).toMatchObject({ outcome: "deferred", forgotten: 1 });
  expect(await count()).toBe(11);
});

test("where a policy is unknown that goes on, as on a machine that only prunes, another one forgets nothing of it", async () => {
  const { edit, prune, count, next } = await site({ archive: all, often: "{ last: 4 }" }, 0);
  edit(configured({ often: "{ last: 4 }" }));
  await prune("often");
  for (let n = 0; n < 4; n++) {
    await next(`letter ${n}`);
    await prune("often");
  }
  await next("the first too many");
  await prune("often");
  expect(await count()).toBe(4);
  for (let n = 5; n < 10; n++) {
    await next(`letter ${n}`);
    const error = await rejection(prune("often"));
    expect(String(error)).toContain("were captured by archive, which goes on and isn't in this configuration");
  }
  expect(await count()).toBe(9);
  edit(configured({ archive: all, often: "{ last: 4 }" }));
  expect(await prune("often")).toMatchObject({ outcome: "ok", forgotten: 0 });
});

test("renamed without another one that has the source, a policy goes on with its points by its rules", async () => {
  const { edit, prune, count } = await site({ archive: "{ last: 4 }" }, 4);
  await prune("archive");
  edit(configured({ archives: "{ last: 4 }" }));
  await prune("archives");
  expect(await count()).toBe(4);
  edit(configured({ archives: "{ last: 3 }" }));
  await prune("archives");
  expect(await count()).toBe(3);
});

test("`config diff` and `config accept` show what an ended policy's points would lose", async () => {
  const { edit, prune, planned } = await site({ archive: all, often: two });
  await prune("often");
  expect(await planned()).toEqual([]);
  edit(configured({ archives: all, often: two }));
  await prune("archives");
  expect(await planned()).toEqual([]);
  edit(configured({ often: two }));
  const [{ change, sources } = { change: undefined, sources: [] }] = await planned();
  expect(change && isBlocked(change)).toBe(true);
  expect(sources).toMatchObject([{ source: "docs", points: 12 }]);
  expect(sources[0]?.forgotten.map(({ kept }) => kept)).toEqual(
    Array.from({ length: 10 }, () => ["captured by archive"]),
  );
});

test("the page's forecast keeps what another heir keeps, and says what waits", async () => {
  const { edit, prune, forecast } = await site({ archive: all, often: two });
  await prune("often");
  edit(configured({ archives: all, often: two }));
  expect(await forecast("often")).toMatchObject({ keep: 12, remove: 0, heldBack: false });
  edit(configured({ often: two }));
  expect(await forecast("often")).toMatchObject({ keep: 1, remove: 11, heldBack: true });
});
