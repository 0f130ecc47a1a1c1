/** A thief, or somebody careless, has deleted recovery points at a replica. */
import * as fs from "node:fs/promises";
import { expect, test } from "vitest";
import { FailureRecords } from "../../src/daemon/failure-records.ts";
import { concernsOf } from "../../src/daemon/concerns.ts";
import { WorkBoard } from "../../src/daemon/work-board.ts";
import { StateFolder } from "../../src/job/state-folder.ts";
import { planNotices } from "../../src/notify/plan.ts";
import { working } from "../helpers/working-job.ts";

const rest = `
replicas: { far: { path: replicas/far } }
sources: { docs: { directory: { path: docs } } }
policies:
  often:
    sources: [docs]
    schedule: { manual: true }
    keep: { last: 1 }
    replicate: { far: { keep: { last: 10 } } }
`;

test("the next run says how many are gone, sends what is still here, and says no more when that is there again", async () => {
  const { site, next, times } = await working(rest);
  for (const text of ["one", "two"]) await next(text);
  expect(await times("far")).toEqual([1, 2]);
  await fs.rm(site.at("replicas", "far", "points"), { recursive: true });
  const [replica] = (await next("three")).replicas;
  expect(replica).toMatchObject({ outcome: "partial", points: 2, errors: [{ code: "points_deleted" }] });
  expect(replica?.errors[0]?.message).toMatch(
    /^Somebody has deleted at far: 2 recovery points of docs that .* are gone, /,
  );
  expect(await times("far")).toEqual([2, 3]);
  expect(await next("four")).toMatchObject({ outcome: "ok" });
});

test("it is told once, also by a channel that only gets through when all is well again", async () => {
  const { site, next, clock } = await working(rest);
  const failures = new FailureRecords(new StateFolder(site.at("told")));
  const note = async (text: string): Promise<void> => await failures.note(await next(text));
  await note("one");
  await fs.rm(site.at("replicas", "far", "points"), { recursive: true });
  await note("two");
  await note("three");
  // No more of each part than is looked at.
  const sources = {
    configFile: { config: site.config },
    failures,
    board: new WorkBoard(clock),
    maintenance: { records: {} },
    monitor: { watches: [], watch: () => undefined, unlocked: () => undefined },
    clock,
  } as unknown as Parameters<typeof concernsOf>[0];
  const telling = { on: ["failure", "recovered"], remind: undefined, now: clock.now() } as const;
  const first = planNotices(concernsOf(sources), {}, telling);
  expect(first.notices.map(({ text }) => text)).toEqual([
    expect.stringMatching(/^deletion of often at far: Somebody has deleted at far: 1 recovery points of docs /),
  ]);
  expect(planNotices(concernsOf(sources), first.told, telling).notices).toEqual([]);
});
