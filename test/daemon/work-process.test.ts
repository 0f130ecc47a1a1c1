import * as fs from "node:fs/promises";
import { pathToFileURL } from "node:url";
import { expect, it, onTestFinished } from "vitest";
import { WorkProcess } from "../../src/daemon/work-process.ts";
import type { Config, Policy, Source } from "../../src/policy/config.ts";
import { ManualClock } from "../helpers/manual-clock.ts";
import { rejection } from "../helpers/rejection.ts";
import { tempDir } from "../helpers/temp-dir.ts";

/**
 * Stands for the work process. What it does is said by the policy's name: `answer` with its process id and version, `die`,
 * or `wait` until it is told to abort, or of another configuration, with which it answers then.
 */
const program = `
let last;
process.on("message", (message) => {
  const { kind, id, input, config } = message;
  if (kind === "ping") return;
  if (kind === "config") {
    process.send({ kind: "done", id: last, output: config });
    return;
  }
  last = id;
  if (kind === "abort") {
    process.send({ kind: "failed", id, error: { code: "cancelled", parts: { what: "Told to" }, stack: undefined } });
    return;
  }
  process.send({ kind: "progress", id, done: 1, total: 2 });
  if (input.policy.name === "die") process.kill(process.pid, "SIGKILL");
  if (input.policy.name === "answer") process.send({ kind: "done", id, output: { pid: process.pid, version: process.argv[2] } });
});
process.on("disconnect", () => process.exit());
`;

async function workProcess(): Promise<{
  work: WorkProcess;
  clock: ManualClock;
  capture: (name: string, signal?: AbortSignal) => Promise<unknown>;
  progress: number[];
}> {
  const file = `${await tempDir()}/program.mjs`;
  await fs.writeFile(file, program);
  const clock = new ManualClock();
  const config = {} as unknown as Config;
  const work = new WorkProcess({ config: () => config, version: "1.2", clock, entry: pathToFileURL(file) });
  onTestFinished(() => work.close());
  const progress: number[] = [];
  const capture = async (name: string, signal?: AbortSignal): Promise<unknown> =>
    await work.stages.capture({
      policy: { name } as unknown as Policy,
      source: {} as unknown as Source,
      signal,
      progress: (done) => progress.push(done),
    });
  return { work, clock, capture, progress };
}

it("does the work in a process, which ends when there is no more", async () => {
  const { clock, capture, progress } = await workProcess();
  const first = await capture("answer");
  expect(first).toMatchObject({ version: "1.2" });
  expect(progress).toEqual([1]);
  expect(await capture("answer")).toEqual(first);
  await clock.advance(2000);
  const another = await capture("answer");
  expect(another).not.toEqual(first);
});

it("fails what was under way when the process dies, and starts another one for the next", async () => {
  const { capture } = await workProcess();
  const waiting = rejection(capture("wait"));
  const dying = await rejection(capture("die"));
  expect(dying).toMatchObject({ code: "internal" });
  expect(String(dying)).toContain("SIGKILL");
  expect(await waiting).toMatchObject({ code: "internal" });
  expect(await capture("answer")).toMatchObject({ version: "1.2" });
});

it("ends a process that says nothing any more", async () => {
  const { clock, capture, progress } = await workProcess();
  const waiting = rejection(capture("wait"));
  await expect.poll(() => progress).toEqual([1]);
  await clock.advance(6 * 60_000);
  expect(await waiting).toMatchObject({ code: "internal", message: expect.stringContaining("for 5 min") as unknown });
  expect(await capture("answer")).toMatchObject({ version: "1.2" });
});

it("tells the process what is to end, and starts none for that", async () => {
  const { capture } = await workProcess();
  const controller = new AbortController();
  const waiting = rejection(capture("wait", controller.signal));
  controller.abort();
  expect(await waiting).toMatchObject({ code: "cancelled" });
  expect(await rejection(capture("answer", controller.signal))).toMatchObject({ code: "cancelled" });
});

it("tells a process at work of another configuration", async () => {
  const { work, capture } = await workProcess();
  const waiting = capture("wait");
  work.reconfigure({ policies: ["seldom"] } as unknown as Config);
  expect(await waiting).toEqual({ policies: ["seldom"] });
});

it("ends at once when it is closed", async () => {
  const { work, capture } = await workProcess();
  const waiting = rejection(capture("wait"));
  work.close();
  expect(await waiting).toMatchObject({ code: "internal" });
});
