/** A hundred policies with five sources each, all due at the same minute. */
import { expect, it } from "vitest";
import { type Entry, Scheduler } from "../../src/daemon/scheduler.ts";
import { CaptureGate } from "../../src/job/capture-gate.ts";
import { nothingSent } from "../../src/job/report.ts";
import { runJob } from "../../src/job/run-job.ts";
import type { Replicated } from "../../src/job/report.ts";
import { SingleFlight } from "../../src/job/single-flight.ts";
import type { Stages } from "../../src/job/stages.ts";
import type { Policy } from "../../src/policy/config.ts";
import type { CronSchedule } from "../../src/policy/schedule.ts";
import { ManualClock } from "../helpers/manual-clock.ts";

const noon = Date.UTC(2026, 10, 22, 12);
const minute = 60_000;
const concurrency = 4;
const hourly: CronSchedule = {
  kind: "cron",
  cron: "5 * * * *",
  timezone: "UTC",
  blackout: [],
  jitter: 0,
  missed: "run",
};
const point = { id: "ab", time: 1, consistency: "crash", size: 1, read: 1, new: 1, stored: 1, leftOut: 0 } as const;

it("runs each once, not more captures at the same time than allowed, and misses nobody's next turn", async () => {
  const clock = new ManualClock(noon);
  const captures = new Map<string, number>();
  let [running, most] = [0, 0];
  const stages: Stages = {
    capture: async ({ source: { name } }) => {
      captures.set(name, (captures.get(name) ?? 0) + 1);
      running += 1;
      most = Math.max(most, running);
      await clock.sleep(10_000);
      running -= 1;
      return { point, errors: [] };
    },
    captureGroup: () => Promise.reject(new Error("nothing is captured together")),
    replicate: () => Promise.resolve(nothingSent),
    prune: () => Promise.resolve({ outcome: "ok", kept: 1, forgotten: 0, givenUp: 0, errors: [] }),
  };
  const context = { stages, clock, gate: new CaptureGate(concurrency), replications: new SingleFlight<Replicated>() };
  const lags: number[] = [];
  const entries = Array.from({ length: 100 }, (_, number): Entry => {
    const name = `policy-${String(number)}`;
    const sources = [0, 1, 2, 3, 4].map((index) => ({ name: `${name}-${String(index)}` }));
    const policy = { name, sources, replicate: [], together: false } as unknown as Policy;
    let [busy, lastStarted] = [false, noon];
    return {
      name,
      schedule: hourly,
      history: () => ({ lastStarted }),
      busy: () => busy,
      start: (lag) => {
        [busy, lastStarted] = [true, clock.now()];
        lags.push(lag);
        runJob(context, { policy }).then(
          () => {
            busy = false;
            scheduler.wake();
          },
          () => undefined,
        );
      },
    };
  });
  const scheduler = new Scheduler(clock, () => entries);
  const controller = new AbortController();
  const run = scheduler.run(controller.signal);

  await clock.advance(6 * minute);
  expect(lags).toEqual(Array.from({ length: 100 }, () => 0));
  // 500 captures of 10 s, 4 at a time.
  await clock.advance(20 * minute);
  expect(most).toBe(concurrency);
  expect(captures.size).toBe(500);
  expect(new Set(captures.values())).toEqual(new Set([1]));

  await clock.advance(60 * minute);
  expect(lags).toHaveLength(200);
  expect(new Set(captures.values())).toEqual(new Set([2]));
  controller.abort();
  await run;
});
