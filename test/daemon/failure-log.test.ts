import fc from "fast-check";
import { expect, it } from "vitest";
import { type Ended, endedIn, type Failure, FailureLog, noteFailure } from "../../src/daemon/failure-log.ts";
import { type ErrorReport, type JobReport, nothingSent } from "../../src/job/report.ts";
import { StateFolder } from "../../src/job/state-folder.ts";
import { tempDir } from "../helpers/temp-dir.ts";

const broken = { code: "source_missing", message: "Cannot read docs" } as const;
const stopped = { code: "cancelled", message: "Stopped" } as const;

function capture(finished: number, ...errors: Ended["errors"]): Ended {
  return { stage: "capture", policy: "often", source: "docs", finished, errors };
}

it("makes one entry of failures in a row, with what the last one said, and says when it was over", () => {
  const other = { code: "source_denied", message: "Cannot open docs" } as const;
  const log = [capture(10, broken), capture(20, other), capture(30)].reduce(noteFailure, []);
  expect(log).toMatchObject([{ first: 10, last: 20, count: 2, over: 30, errors: [other] }]);
  expect(noteFailure(log, capture(40, broken))).toMatchObject([{ first: 40, count: 1 }, { first: 10 }]);
});

it("takes what was told to stop for neither failure nor success, and success for no news", () => {
  const log = noteFailure([], capture(10, broken));
  expect(noteFailure(log, capture(20, stopped))).toBe(log);
  const well = noteFailure(log, capture(30));
  expect(noteFailure(well, capture(40))).toBe(well);
});

it("stays small, and drops what goes on last", () => {
  const work = fc.record({
    stage: fc.constantFrom("capture", "prune"),
    policy: fc.nat(80).map(String),
    finished: fc.nat(),
    errors: fc.array(fc.record({ code: fc.constant("internal"), message: fc.string() }), { maxLength: 9 }),
  });
  fc.assert(
    fc.property(fc.array(work, { maxLength: 200 }), (all) => {
      const log = (all as Ended[]).reduce<readonly Failure[]>(noteFailure, []);
      expect(log.length).toBeLessThanOrEqual(40);
      for (const { errors } of log) expect(errors.length).toBeLessThanOrEqual(5);
      const failing = new Map(
        (all as Ended[]).map((one) => [`${one.stage} ${one.policy ?? ""}`, one.errors.length > 0]),
      );
      const open = log.filter(({ over }) => over === undefined);
      expect(open.length).toBe(Math.min(40, [...failing.values()].filter(Boolean).length));
    }),
    { numRuns: 50 },
  );
});

it("doesn't take for over what was left to another run", async () => {
  const log = new FailureLog(new StateFolder(await tempDir()));
  const ended = { started: 0, finished: 5 };
  const job = (errors: readonly ErrorReport[], outcome: "failed" | "deferred"): JobReport => ({
    policy: "often",
    ...ended,
    outcome: "partial",
    sources: [],
    replicas: [{ ...nothingSent, ...ended, replica: "far", outcome, errors }],
    prune: [{ ...ended, location: "primary", kept: 0, forgotten: 0, givenUp: 0, outcome, errors }],
  });
  await log.note(...endedIn(job([broken], "failed")));
  await log.note(...endedIn(job([], "deferred")));
  expect(log.failures.map(({ over }) => over)).toEqual([undefined, undefined]);
});

it("is there after a restart, with what a job's stages said", async () => {
  const state = new StateFolder(await tempDir());
  const ended = { outcome: "failed", started: 0, finished: 5, errors: [broken] } as const;
  const sent = { points: 0, bytesRead: 0, bytesSent: 0, backlog: undefined };
  const report: JobReport = {
    policy: "often",
    started: 0,
    finished: 5,
    outcome: "failed",
    sources: [{ ...ended, source: "docs", point: undefined }],
    replicas: [
      { ...ended, ...sent, replica: "far" },
      { ...ended, ...sent, replica: "near", outcome: "deferred", errors: [] },
    ],
    prune: [{ ...ended, location: "primary", kept: 0, forgotten: 0, givenUp: 0, errors: [] }],
  };
  const log = new FailureLog(state);
  await log.note(...endedIn(report));
  const again = new FailureLog(state);
  await again.load();
  const times = { first: 5, last: 5, count: 1 };
  expect(again.failures.toSorted((a, b) => (a.stage < b.stage ? -1 : 1))).toEqual([
    { stage: "capture", policy: "often", source: "docs", errors: [broken], ...times },
    { stage: "replication", policy: "often", location: "far", errors: [broken], ...times },
  ]);
});
