import { expect, it } from "vitest";
import { WorkBoard } from "../../src/daemon/work-board.ts";
import { ManualClock } from "../helpers/manual-clock.ts";

const mebi = 2 ** 20;

it("shows a job's captures from the beginning, each stage while it runs, and nothing after the end", () => {
  const board = new WorkBoard(new ManualClock(1000));
  const job = board.addJob("often", ["docs", "mail"]);
  job.hear({ event: "capture-started", source: "mail" });
  expect(board.status.map(({ source, started }) => [source, started])).toEqual([
    ["docs", undefined],
    ["mail", 1000],
  ]);
  const ended = { outcome: "ok", started: 0, finished: 0, errors: [] } as const;
  job.hear({ event: "capture-finished", source: "mail", point: undefined, ...ended });
  job.hear({ event: "replication-started", replica: "far" });
  job.hear({ event: "prune-started", location: "primary" });
  expect(board.status.map(({ stage, policy, location }) => [stage, policy, location])).toEqual([
    ["capture", "often", undefined],
    ["replication", "often", "far"],
    ["prune", "often", "primary"],
  ]);
  job.hear({ event: "prune-finished", location: "primary", kept: 0, forgotten: 0, givenUp: 0, ...ended });
  expect(board.status).toHaveLength(2);
  job.end();
  expect(board.status).toEqual([]);
});

it("tells the rate of lately and the time left, and gets slower when nothing comes", async () => {
  const clock = new ManualClock();
  const board = new WorkBoard(clock);
  const task = board.add({ stage: "check", location: "primary" });
  task.progress(100 * mebi, 1000 * mebi);
  expect(board.status[0]).toMatchObject({ done: 100 * mebi, rate: undefined, timeLeft: undefined });
  for (let second = 1; second <= 60; second += 1) {
    await clock.advance(1000);
    task.progress((100 + second * 10) * mebi, 1000 * mebi);
  }
  expect(board.status[0]).toMatchObject({ rate: 10 * mebi, timeLeft: 30_000 });
  await clock.advance(30_000);
  expect(board.status[0]?.rate).toBeLessThan(2 * mebi);
  await clock.advance(600_000);
  expect(board.status[0]).toMatchObject({ rate: undefined, timeLeft: undefined });
});

it("promises nothing once an estimate was passed", async () => {
  const clock = new ManualClock();
  const board = new WorkBoard(clock);
  const task = board.add({ stage: "replication", policy: "often", location: "far" });
  task.progress(0, 10);
  await clock.advance(1000);
  task.progress(2000, 10);
  expect(board.status[0]).toMatchObject({ done: 2000, total: undefined, timeLeft: undefined });
});
