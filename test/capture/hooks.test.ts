import * as fs from "node:fs";
import * as path from "node:path";
import { expect, test } from "vitest";
import { areQuiescing, type Hooks, withHooks } from "../../src/capture/hooks.ts";
import type { StillpointError } from "../../src/errors.ts";
import { rejection } from "../helpers/rejection.ts";
import { tempDir } from "../helpers/temp-dir.ts";

const script = 'echo "$STILLPOINT_PHASE $STILLPOINT_SOURCE $STILLPOINT_POLICY $STILLPOINT_OUTCOME" >> "$0"; exit "$1"';

interface Rehearsal {
  readonly log: () => string[];
  readonly problems: StillpointError[];
  readonly run: <T>(work: () => Promise<T>, signal?: AbortSignal) => Promise<T>;
}

/** Hooks that note when they run, and end with these statuses. */
async function rehearse(statuses: Readonly<Partial<Record<keyof Hooks, number>>>): Promise<Rehearsal> {
  const file = path.join(await tempDir(), "log");
  const hook = (status: number | undefined) =>
    status === undefined ? undefined : { run: ["sh", "-c", script, file, String(status)], timeout: 10_000 };
  const hooks = { before: hook(statuses.before), after: hook(statuses.after), always: hook(statuses.always) };
  const problems: StillpointError[] = [];
  const environment = {
    source: "crm",
    policy: "dumps",
    onProblem: (problem: StillpointError) => void problems.push(problem),
  };
  return {
    problems,
    log: () =>
      fs.existsSync(file)
        ? fs
            .readFileSync(file, "utf8")
            .trimEnd()
            .split("\n")
            .map((line) => line.trimEnd())
        : [],
    run: async (work, signal) =>
      await withHooks(hooks, { ...environment, signal }, async () => {
        fs.appendFileSync(file, "work\n");
        return await work();
      }),
  };
}

test("hooks run around the work, and know what it is about", async () => {
  const { run, log, problems } = await rehearse({ before: 0, after: 0, always: 0 });
  expect(await run(() => Promise.resolve(7))).toBe(7);
  expect(log()).toEqual(["before crm dumps", "work", "after crm dumps succeeded", "always crm dumps succeeded"]);
  expect(problems).toEqual([]);
});

test("when `before` fails there is no work, and the others undo what it may have done", async () => {
  const { run, log } = await rehearse({ before: 1, after: 0, always: 0 });
  expect(await rejection(run(() => Promise.resolve()))).toMatchObject({ code: "hook_failed" });
  expect(log()).toEqual(["before crm dumps", "after crm dumps failed", "always crm dumps failed"]);
});

test("when the work fails, `after` and `always` run, and its error is the one to see", async () => {
  const { run, log, problems } = await rehearse({ before: 0, after: 1, always: 2 });
  expect((await rejection(run(() => Promise.reject(new Error("no"))))).message).toBe("no");
  expect(log().slice(2)).toEqual(["after crm dumps failed", "always crm dumps failed"]);
  expect(problems.map((problem) => problem.code)).toEqual(["hook_failed", "hook_failed"]);
});

test("what fails after the work is reported and doesn't undo it", async () => {
  const { run, problems } = await rehearse({ after: 0, always: 1 });
  expect(await run(() => Promise.resolve("done"))).toBe("done");
  expect(problems).toHaveLength(1);
  expect(problems[0]?.message).toContain("isn't still stopped or frozen");
});

test("a cancelled capture doesn't leave the source frozen", async () => {
  const { run, log } = await rehearse({ before: 0, after: 0, always: 0 });
  const cancel = new AbortController();
  const work = (): Promise<never> => {
    cancel.abort();
    return Promise.reject(new Error("cancelled"));
  };
  await rejection(run(work, cancel.signal));
  expect(log()).toEqual(["before crm dumps", "work", "after crm dumps failed", "always crm dumps failed"]);
});

test("a hook that takes too long has failed", async () => {
  const hooks: Hooks = { before: { run: ["sleep", "60"], timeout: 100 } };
  const environment = { source: "s", policy: "p", onProblem: () => undefined };
  const error = await rejection(withHooks(hooks, environment, () => Promise.resolve()));
  expect(error).toMatchObject({ code: "hook_failed" });
  expect(error.message).toContain("longer than 0.1 s");
});

test("hooks keep a source still when one stops it and another lets it go", () => {
  const hook = { run: ["true"], timeout: 1 };
  expect(areQuiescing({ before: hook, always: hook })).toBe(true);
  expect(areQuiescing({ before: hook, after: hook })).toBe(true);
  expect(areQuiescing({ before: hook })).toBe(false);
  expect(areQuiescing({ always: hook })).toBe(false);
  expect(areQuiescing(undefined)).toBe(false);
});
