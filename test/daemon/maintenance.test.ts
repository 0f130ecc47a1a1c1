import { expect, it } from "vitest";
import { FailureLog } from "../../src/daemon/failure-log.ts";
import { Maintenance } from "../../src/daemon/maintenance.ts";
import { WorkBoard } from "../../src/daemon/work-board.ts";
import type { Entry } from "../../src/daemon/scheduler.ts";
import type { WorkProcess } from "../../src/daemon/work-process.ts";
import { type ErrorCode, StillpointError } from "../../src/errors.ts";
import { silentLogger } from "../../src/host/log.ts";
import { CheckRecords } from "../../src/job/check-records.ts";
import { StateFolder } from "../../src/job/state-folder.ts";
import { Metrics } from "../../src/metrics/metrics.ts";
import type { ReadData } from "../../src/repository/check/packs.ts";
import { ManualClock } from "../helpers/manual-clock.ts";
import { makeSite } from "../helpers/site.ts";

interface Sweeps {
  readonly sweep: (code?: ErrorCode) => Promise<void>;
  /** Starts what the entry names, and waits until it has ended. */
  readonly run: (entry: Entry | undefined) => Promise<void>;
  readonly maintenance: Maintenance;
  readonly failureLog: FailureLog;
  readonly checks: CheckRecords;
}

interface Checked {
  readonly location: string;
  readonly readData: ReadData | undefined;
}

interface Options {
  readonly appendOnly?: boolean;
  /** How much a check finds, by default nothing. */
  readonly damage?: (check: Checked) => number;
}

/** Sweeps of a site with the replica `far`; each `sweep` succeeds, or fails everywhere as it is told. Checks read four parts in turn. */
async function sweeps({ appendOnly = false, damage }: Options = {}) {
  const clock = new ManualClock(Date.UTC(2026, 10, 22));
  const site = await makeSite({ clock });
  const check = { ...site.config.maintenance.check, readDataParts: 4 };
  const replicas = site.config.replicas.map((one) => ({ ...one, appendOnly }));
  const config = { ...site.config, replicas, maintenance: { ...site.config.maintenance, check } };
  const swept: string[] = [];
  let failure: ErrorCode | undefined;
  const run = (task: "sweep" | "check", input: Checked): Promise<unknown> => {
    const { location } = input;
    if (task === "check") {
      const findings = Array.from({ length: damage?.(input) ?? 0 }, () => ({ message: "damaged" }));
      return Promise.resolve({ findings, foundByReading: findings.length, points: 1, packs: 1, bytesRead: 1 });
    }
    swept.push(location);
    if (failure !== undefined) return Promise.reject(new StillpointError(failure, { what: "Cannot sweep" }));
    return Promise.resolve({ deleted: { packs: 0, bytes: 0 }, condemned: 0, rewritten: 0, noRoom: false });
  };
  const start = async (): Promise<Sweeps> => {
    let ended = Promise.withResolvers<undefined>();
    const state = new StateFolder(config.repository.state);
    const failureLog = new FailureLog(state);
    await failureLog.load();
    const maintenance = new Maintenance({
      config: () => config,
      // Of the reports no more is looked at than these have.
      work: { run } as unknown as Pick<WorkProcess, "run">,
      state,
      failureLog,
      board: new WorkBoard(clock),
      holder: "test",
      metrics: new Metrics(),
      clock,
      log: silentLogger,
      onFree: () => ended.resolve(undefined),
    });
    await maintenance.records.load(clock.now());
    const runEntry = async (entry: Entry | undefined): Promise<void> => {
      ended = Promise.withResolvers<undefined>();
      entry?.start(0);
      await ended.promise;
    };
    const sweep = async (code?: ErrorCode): Promise<void> => {
      failure = code;
      await runEntry(maintenance.entry("sweep"));
    };
    return { sweep, run: runEntry, maintenance, failureLog, checks: new CheckRecords(state) };
  };
  return { start, clock, swept };
}

it("remembers how many sweeps have failed in a row, across a restart too", async () => {
  const { start } = await sweeps();
  const first = await start();
  await first.sweep("storage_failed");
  await first.sweep("sweep_unsafe");
  expect(first.maintenance.records.at("primary").sweepFailures).toBe(2);
  const second = await start();
  await second.sweep("storage_failed");
  expect(second.maintenance.records.at("far").sweepFailures).toBe(3);
  await second.sweep();
  expect(second.maintenance.records.at("far").sweepFailures).toBe(0);
});

it("tells what a sweep said when it failed, at each location, and when it went well again", async () => {
  const { start } = await sweeps();
  const { sweep, failureLog } = await start();
  await sweep("storage_failed");
  expect(failureLog.failures.map(({ stage, location, over }) => [stage, location, over])).toEqual([
    ["sweep", "far", undefined],
    ["sweep", "primary", undefined],
  ]);
  expect(failureLog.failures[0]?.errors).toEqual([{ code: "storage_failed", message: "Cannot sweep." }]);
  await sweep();
  expect(failureLog.failures.every(({ over }) => over !== undefined)).toBe(true);
});

it.each([
  [false, ["primary", "far"]],
  [true, ["primary"]],
])("sweeps everywhere but where this host may only add (%s)", async (appendOnly, locations) => {
  const { start, swept } = await sweeps({ appendOnly });
  const { sweep } = await start();
  await sweep();
  expect(swept).toEqual(locations);
});

it("doesn't blame sweeps for a location that is away", async () => {
  const { start } = await sweeps();
  const { sweep, maintenance } = await start();
  await sweep("storage_failed");
  await sweep("storage_unreachable");
  expect(maintenance.records.at("far").sweepFailures).toBe(1);
});

it("looks again each day where a check found damage, and nowhere else, until it is mended", async () => {
  const { start, clock } = await sweeps();
  const { maintenance } = await start();
  const [, , recheck] = maintenance.entries();
  if (recheck === undefined) throw new Error("nothing is checked again");
  expect(recheck.busy()).toBe(true);
  const whole = { findings: 0, foundByReading: 0 };
  await maintenance.records.noteCheck("primary", { ...whole, time: clock.now() });
  await maintenance.records.noteCheck("far", { ...whole, time: clock.now(), findings: 3 });
  const [, , damaged] = maintenance.entries();
  expect(damaged?.busy()).toBe(false);
  expect(damaged?.schedule).toMatchObject({ cron: "30 5 * * *", missed: "skip" });
  await maintenance.records.noteCheck("far", { ...whole, time: clock.now() });
  expect(maintenance.entries()[2]?.busy()).toBe(true);
});

it("counts what somebody has checked by hand, with what it found", async () => {
  const { start, clock } = await sweeps();
  const { maintenance, failureLog, checks } = await start();
  await checks.note("far", { time: clock.now(), findings: 3, foundByReading: 3, read: { group: 1, of: 1 } });
  await maintenance.seeChecks();
  expect(maintenance.records.isDamaged("far")).toBe(true);
  expect(failureLog.failures).toMatchObject([{ stage: "check", location: "far", count: 1 }]);
  await maintenance.seeChecks();
  expect(failureLog.failures).toMatchObject([{ count: 1 }]);
  await clock.advance(1000);
  await checks.note("far", { time: clock.now(), findings: 0, foundByReading: 0, read: { group: 1, of: 1 } });
  await maintenance.seeChecks();
  expect(maintenance.records.at("far")).toMatchObject({ lastCheck: clock.now(), findings: 0 });
  expect(failureLog.failures).toMatchObject([{ over: clock.now() }]);
  expect(maintenance.records.at("primary").lastCheck).toBeUndefined();
});

it("reads the other parts in turn where some are damaged, and tells of that until each is whole", async () => {
  const damaged = new Set([2, 3]);
  const read: (number | undefined)[] = [];
  const damage = ({ location, readData }: Checked): number => {
    if (location !== "far") return 0;
    read.push(readData?.group);
    return damaged.has(readData?.group ?? 0) ? 3 : 0;
  };
  const { start } = await sweeps({ damage });
  const { run, maintenance, failureLog } = await start();
  const check = async (): Promise<void> => await run(maintenance.entry("check"));
  const checkAgain = async (): Promise<void> => await run(maintenance.entries()[2]);
  const open = (): unknown[] => failureLog.failures.filter(({ over }) => over === undefined);
  for (const next of [check, check, checkAgain, check, checkAgain, check]) await next();
  expect(read).toEqual([1, 2, 2, 3, 2, 3, 4]);
  expect(maintenance.records.at("far").findings).toBe(6);
  expect(open()).toMatchObject([{ location: "far" }]);
  damaged.delete(2);
  await checkAgain();
  await check();
  expect(read.slice(7)).toEqual([2, 3, 1]);
  expect(open()).toMatchObject([
    { location: "far", errors: [{ message: expect.stringContaining("3 findings") as string }] },
  ]);
  damaged.clear();
  await checkAgain();
  expect(read.slice(10)).toEqual([3]);
  expect(maintenance.records.isDamaged("far")).toBe(false);
  expect(open()).toEqual([]);
});
