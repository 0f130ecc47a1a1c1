import { expect, it } from "vitest";
import { concernsOf, everyObjectiveMet } from "../../src/daemon/concerns.ts";
import { WorkBoard } from "../../src/daemon/work-board.ts";
import { describeSubject } from "../../src/notify/notice.ts";
import { planNotices } from "../../src/notify/plan.ts";
import { loadConfig } from "../../src/policy/load.ts";
import { ManualClock } from "../helpers/manual-clock.ts";

const now = Date.UTC(2026, 10, 22);
const minute = 60_000;
const config = loadConfig(
  `
version: 1
repository: { path: /srv/repository, key_file: /srv/key }
replicas: { far: { path: /mnt/far } }
sources: { docs: { directory: { path: /docs } } }
policies:
  often:
    sources: [docs]
    schedule: { rpo: 1h }
    keep: { last: 2 }
    replicate: { far: {} }
`,
  "stillpoint.yaml",
);

const locking = {
  ...config,
  policies: config.policies.map((policy) => ({
    ...policy,
    replicate: policy.replicate.map((one) => ({ ...one, lock: 30 * 24 * 60 * minute })),
  })),
};

const appending = loadConfig(config.file.text.replace("/mnt/far", "/mnt/far, append_only: true"), "stillpoint.yaml");

type Sources = Parameters<typeof concernsOf>[0];

interface World {
  /** Of the newest point at the primary, in minutes; undefined when there is none. */
  readonly age?: number;
  readonly running?: boolean;
  readonly failing?: { readonly count: number; readonly message?: string };
  readonly maintenance?: object;
  readonly refused?: string;
  readonly appendOnly?: boolean;
  readonly board?: WorkBoard;
  /** When the location answered last that doesn't any more, in minutes. */
  readonly silent?: { readonly location: string; readonly since: number };
  readonly sign?: { readonly since: number; readonly last: number; readonly message: string };
  /** Points that could not be locked at the replica. */
  readonly unlocked?: number;
}

function sources({
  age,
  running = false,
  failing,
  maintenance = {},
  refused,
  appendOnly = false,
  board,
  silent,
  sign,
  unlocked,
}: World): Sources {
  const newest = { time: now - (age ?? 0) * minute, source: "docs", policy: "often" };
  const row = { count: 0, last: 0, ...failing };
  const clock = new ManualClock(now);
  // No more of each part than is looked at.
  return {
    configFile: {
      config: appendOnly ? appending : unlocked === undefined ? config : locking,
      error: refused === undefined ? undefined : { code: "config_invalid", message: refused },
    },
    jobs: { isRunning: () => running },
    failures: {
      captures: () => row,
      replications: () => row,
      prunes: () => row,
      sign: (_policy: string, _replica: string, code: string) => (code === "points_deleted" ? sign : undefined),
    },
    maintenance: { records: { at: (location: string) => (location === "far" ? maintenance : {}) } },
    monitor: {
      watches: [{ location: "primary" }, { location: "far" }],
      unlocked: () => unlocked,
      watch: (location: string) => ({
        error:
          location === silent?.location ? { code: "storage_unreachable", message: "It doesn't answer." } : undefined,
        known: {
          checked: now - (location === silent?.location ? silent.since : 0) * minute,
          newest: age === undefined ? [] : [newest],
          verified: [],
        },
      }),
    },
    board: board ?? new WorkBoard(clock),
    clock,
  } as unknown as Sources;
}

/** What is in trouble, in words. */
function troubles(world: World): string[] {
  return concernsOf(sources(world)).flatMap(({ subject, event, trouble }) =>
    trouble === undefined ? [] : [`${event}: ${describeSubject(subject)}: ${trouble}`],
  );
}

/** What a channel tells of the last of several worlds, having told those before it. */
function toldThen(worlds: readonly World[]): string[] {
  const telling = { on: ["failure", "objective_missed", "recovered"], remind: undefined, now } as const;
  const none: ReturnType<typeof planNotices> = { notices: [], told: {} };
  const last = worlds.reduce((plan, world) => planNotices(concernsOf(sources(world)), plan.told, telling), none);
  return last.notices.map(({ event, subject }) => `${event} ${subject.kind}`);
}

it("nothing is in trouble when all is well", () => {
  expect(troubles({ age: 30 })).toEqual([]);
  expect(everyObjectiveMet(sources({ age: 60 }))).toBe(true);
});

it("an objective is missed when the newest point is too old, or there is none", () => {
  expect(troubles({ age: 61 })).toEqual([
    "objective_missed: objective of docs (often) at primary: missed: its newest recovery point is 1h1m old, and 1h is promised",
  ]);
  expect(troubles({})).toEqual([
    "objective_missed: objective of docs (often) at primary: missed: it has no recovery point, and 1h is promised",
  ]);
  expect(everyObjectiveMet(sources({ age: 61 }))).toBe(false);
});

it("a first capture that is under way has missed nothing, but nobody pings for it", () => {
  expect(troubles({ running: true })).toEqual([]);
  expect(everyObjectiveMet(sources({ running: true }))).toBe(false);
});

it("whatever fails is told with what it said, and how often in a row", () => {
  expect(troubles({ age: 1, failing: { count: 2, message: "Cannot do it. Try again." } })).toEqual([
    "failure: capture of docs (often): failed 2 times in a row: Cannot do it. Try again",
    "failure: replication of often to far: failed 2 times in a row: Cannot do it. Try again",
    "failure: prune of often at primary: failed 2 times in a row: Cannot do it. Try again",
    "failure: prune of often at far: failed 2 times in a row: Cannot do it. Try again",
  ]);
});

it("points that could not be locked are told, also when the replication fails, and its failing was told", () => {
  expect(troubles({ age: 1, unlocked: 0 })).toEqual([]);
  expect(troubles({ age: 1, unlocked: 3 })).toEqual([
    "failure: lock of often at far: some recovery points aren't locked for long enough; points: 3",
  ]);
  const failing = { count: 1 };
  expect(
    toldThen([
      { age: 1, failing },
      { age: 1, failing, unlocked: 3 },
    ]),
  ).toEqual(["failure lock"]);
  expect(
    toldThen([
      { age: 1, unlocked: 3 },
      { age: 1, failing, unlocked: 3 },
    ]),
  ).toContain("failure replication");
});

it("a replication that stands still is told, though neither it nor any after it fails", () => {
  const clock = new ManualClock(now - 100 * minute);
  const board = new WorkBoard(clock);
  const told = ["failure: replication of often to far: it stands still: It doesn't answer"];
  const silent = { location: "far", since: 10 };
  expect(troubles({ age: 1, board, silent })).toEqual([]);
  board.addJob("often", []).hear({ event: "replication-started", replica: "far" });
  const later = board.addJob("often", []);
  later.hear({ event: "replication-started", replica: "far" });
  later.end();
  expect(troubles({ age: 1, board, silent })).toEqual(told);
  expect(troubles({ age: 1, board, silent: { location: "primary", since: 10 } })).toEqual(told);
  expect(troubles({ age: 1, board, silent: { location: "far", since: 9 } })).toEqual([]);
  expect(troubles({ age: 1, board })).toEqual([]);
  expect(troubles({ age: 1, board, silent, failing: { count: 1 } })).toContain(
    "failure: replication of often to far: failed",
  );
});

it("a replication that moves doesn't stand still, though its replica has no time for questions", async () => {
  const clock = new ManualClock(now - 100 * minute);
  const board = new WorkBoard(clock);
  const job = board.addJob("often", []);
  job.hear({ event: "replication-progress", replica: "far", done: 0, total: 1e9 });
  await clock.advance(1000);
  job.hear({ event: "replication-progress", replica: "far", done: 1e6, total: 1e9 });
  expect(troubles({ age: 1, board, silent: { location: "far", since: 60 } })).toEqual([]);
  await clock.advance(10 * minute);
  expect(troubles({ age: 1, board, silent: { location: "far", since: 60 } })).toHaveLength(1);
});

it("a replication that has just begun isn't told, however long its replica was away before", () => {
  const board = new WorkBoard(new ManualClock(now - 9 * minute));
  board.addJob("often", []).hear({ event: "replication-started", replica: "far" });
  expect(troubles({ age: 1, board, silent: { location: "far", since: 1000 } })).toEqual([]);
});

it("damage is told, also when it was told that checks could not be done", () => {
  expect(
    toldThen([
      { age: 1, maintenance: { checkFailures: 2 } },
      { age: 1, maintenance: { findings: 712 } },
    ]),
  ).toEqual(["recovered check", "failure damage"]);
  expect(
    toldThen([
      { age: 1, maintenance: { findings: 712 } },
      { age: 1, maintenance: { findings: 712, checkFailures: 1 } },
    ]),
  ).toEqual(["failure check"]);
});

it("prunes and sweeps that failed where this host may only add by now are no trouble", () => {
  const world = {
    age: 1,
    failing: { count: 1 },
    maintenance: { sweepFailures: 1, checkFailures: 1 },
    appendOnly: true,
  };
  expect(troubles(world)).toEqual([
    "failure: capture of docs (often): failed",
    "failure: replication of often to far: failed",
    "failure: prune of often at primary: failed",
    "failure: check at far: failed",
  ]);
});

it("deleted points are told for a week after they were seen, whatever came after that", () => {
  const week = 7 * 24 * 60 * minute;
  const sign = { since: now - week, last: now - week, message: "Somebody has deleted at far: 2 recovery points." };
  expect(troubles({ age: 1, sign })).toEqual([
    "failure: deletion of often at far: Somebody has deleted at far: 2 recovery points",
  ]);
  expect(troubles({ age: 1, sign: { ...sign, last: now - week - 1 } })).toEqual([]);
});

it("sweeps, checks, damage and a refused configuration are told", () => {
  const failed = { sweepFailures: 1, sweepError: "No room.", checkFailures: 3 };
  expect(troubles({ age: 1, maintenance: failed, refused: "It has a mistake." })).toEqual([
    "failure: configuration: the file isn't in force, the one before is: It has a mistake.",
    "failure: sweep at far: failed: No room",
    "failure: check at far: failed 3 times in a row",
  ]);
  expect(troubles({ age: 1, maintenance: { findings: 2 } })).toEqual([
    "failure: damage at far: a check found it; findings: 2",
  ]);
});
