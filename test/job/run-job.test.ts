import { describe, expect, it } from "vitest";
import { StillpointError } from "../../src/errors.ts";
import { CaptureGate } from "../../src/job/capture-gate.ts";
import type { Replicated } from "../../src/job/report.ts";
import { nothingSent } from "../../src/job/report.ts";
import { type JobContext, runJob } from "../../src/job/run-job.ts";
import { SingleFlight } from "../../src/job/single-flight.ts";
import type { Stages } from "../../src/job/stages.ts";
import type { Policy } from "../../src/policy/config.ts";
import { ManualClock } from "../helpers/manual-clock.ts";

const policy = {
  name: "often",
  sources: [{ name: "docs" }, { name: "www" }],
  replicate: [{ replica: { name: "far" } }, { replica: { name: "farther" } }],
} as unknown as Policy;

const point = {
  id: "ab",
  time: 1,
  consistency: "crash",
  size: 10,
  read: 5,
  new: 3,
  stored: 2,
  leftOut: 0,
} as const;
const sent: Replicated = { ...nothingSent, points: 1, bytesSent: 2, backlog: { points: 0, bytes: 0 } };

/** Stages that succeed, but for those given; `calls` says what was done, in order. */
function contextWith(stages: Partial<Stages>): { context: JobContext; calls: string[] } {
  const calls: string[] = [];
  const all: Stages = {
    capture: () => Promise.resolve({ point, errors: [] }),
    captureGroup: ({ sources }) => Promise.resolve(sources.map(() => ({ point, errors: [] }))),
    replicate: () => Promise.resolve(sent),
    prune: () => Promise.resolve({ outcome: "ok", kept: 1, forgotten: 1, givenUp: 0, errors: [] }),
    ...stages,
  };
  const noted: Stages = {
    capture: (request) => {
      calls.push(`capture ${request.source.name}`);
      return all.capture(request);
    },
    captureGroup: (request) => {
      calls.push(`capture ${request.sources.map(({ name }) => name).join(" and ")}`);
      return all.captureGroup(request);
    },
    replicate: (request) => {
      calls.push(`replicate ${request.to.replica.name}`);
      return all.replicate(request);
    },
    prune: (request) => {
      calls.push(`prune ${request.location}`);
      return all.prune(request);
    },
  };
  const context = {
    stages: noted,
    clock: new ManualClock(),
    gate: new CaptureGate(2),
    replications: new SingleFlight<Replicated>(),
  };
  return { context, calls };
}

const broken = new StillpointError("storage_failed", { what: "It broke" });

describe("a job", () => {
  it("captures, replicates and prunes, in this order, and reports all of it as plain data", async () => {
    const { context, calls } = contextWith({});
    const report = await runJob(context, { policy });
    expect(calls).toEqual([
      "capture docs",
      "capture www",
      "replicate far",
      "replicate farther",
      "prune primary",
      "prune far",
      "prune farther",
    ]);
    expect(report).toMatchObject({ policy: "often", outcome: "ok" });
    expect(report.sources.map(({ source, outcome }) => [source, outcome])).toEqual([
      ["docs", "ok"],
      ["www", "ok"],
    ]);
    expect(JSON.parse(JSON.stringify(report))).toEqual(report);
  });

  it("replicates to what comes after another when that one has ended, whatever became of it", async () => {
    const ended: string[] = [];
    const { context } = contextWith({
      replicate: async ({ to }) => {
        await context.clock.sleep(0);
        ended.push(to.replica.name);
        if (to.replica.name === "b") throw broken;
        return sent;
      },
    });
    const replicate = [
      { replica: { name: "d" }, from: "c" },
      { replica: { name: "c" }, from: "b" },
      { replica: { name: "b" } },
      { replica: { name: "a" } },
    ] as unknown as Policy["replicate"];
    const report = await runJob(context, { policy: { ...policy, replicate } });
    expect(ended).toEqual(["b", "a", "c", "d"]);
    expect(report.replicas.map(({ replica, outcome }) => `${replica} ${outcome}`)).toEqual([
      "d ok",
      "c ok",
      "b failed",
      "a ok",
    ]);
  });

  it("replicates and prunes what is already there when every capture fails, and has failed", async () => {
    const { context, calls } = contextWith({ capture: () => Promise.reject(broken) });
    const report = await runJob(context, { policy });
    expect(report.outcome).toBe("failed");
    expect(report.sources[0]).toMatchObject({
      outcome: "failed",
      point: undefined,
      errors: [{ code: "storage_failed", message: "It broke." }],
    });
    expect(calls.slice(2)).toEqual([
      "replicate far",
      "replicate farther",
      "prune primary",
      "prune far",
      "prune farther",
    ]);
  });

  it("is partial when one of two captures fails, or leaves something out, or a hook fails after it", async () => {
    const failing = contextWith({
      capture: ({ source }) =>
        source.name === "docs" ? Promise.reject(broken) : Promise.resolve({ point, errors: [] }),
    });
    const leaving = contextWith({ capture: () => Promise.resolve({ point: { ...point, leftOut: 1 }, errors: [] }) });
    const frozen = contextWith({
      capture: () => Promise.resolve({ point, errors: [{ code: "hook_failed", message: "thaw" }] }),
    });
    for (const { context } of [failing, leaving, frozen])
      expect(await runJob(context, { policy })).toMatchObject({ outcome: "partial" });
  });

  it("captures sources together where the policy says so, and all of them are asked for", async () => {
    const together = { ...policy, together: true, replicate: [] };
    const { context, calls } = contextWith({});
    const report = await runJob(context, { policy: together });
    expect(calls).toEqual(["capture docs and www", "prune primary"]);
    expect(report.sources.map(({ source, outcome, point: id }) => [source, outcome, id?.id])).toEqual([
      ["docs", "ok", "ab"],
      ["www", "ok", "ab"],
    ]);
    await runJob(context, { policy: together, sources: together.sources.slice(1) });
    expect(calls.slice(2)).toEqual(["capture www", "prune primary"]);
  });

  it("reports the failure of a group for each of its sources", async () => {
    const { context } = contextWith({ captureGroup: () => Promise.reject(broken) });
    const report = await runJob(context, { policy: { ...policy, together: true } });
    expect(report.outcome).toBe("failed");
    expect(report.sources.map(({ errors }) => errors[0]?.code)).toEqual(["storage_failed", "storage_failed"]);
  });

  it("doesn't prune at a replica that it could not reach, but at all others", async () => {
    const { context, calls } = contextWith({
      replicate: ({ to }) => (to.replica.name === "far" ? Promise.reject(broken) : Promise.resolve(sent)),
    });
    const report = await runJob(context, { policy });
    expect(report.outcome).toBe("partial");
    expect(report.replicas[0]).toMatchObject({ replica: "far", outcome: "failed", backlog: undefined });
    expect(calls.filter((call) => call.startsWith("prune"))).toEqual(["prune primary", "prune farther"]);
  });

  it("leaves it to others to prune where this host may only add", async () => {
    const { context, calls } = contextWith({});
    const replicate = [{ replica: { name: "far", appendOnly: true } }, { replica: { name: "farther" } }];
    expect(await runJob(context, { policy: { ...policy, replicate } as unknown as Policy })).toMatchObject({
      outcome: "ok",
    });
    expect(calls).toContain("replicate far");
    expect(calls.filter((call) => call.startsWith("prune"))).toEqual(["prune primary", "prune farther"]);
  });

  it("is not held up by a replica to which an earlier job still sends", async () => {
    const { promise: slow, resolve } = Promise.withResolvers<Replicated>();
    const { context } = contextWith({
      replicate: ({ to }) => (to.replica.name === "far" ? slow : Promise.resolve(sent)),
    });
    let captured = false;
    const onCaptured = (): void => {
      captured = true;
    };
    const { promise: sentFarther, resolve: end } = Promise.withResolvers<undefined>();
    const first = runJob(context, {
      policy,
      onCaptured,
      onEvent: ({ event }) => void (event === "replication-finished" && end(undefined)),
    });
    await sentFarther;
    const second = runJob(context, { policy });
    expect(captured).toBe(true);
    const report = await second;
    expect(report.outcome).toBe("ok");
    expect(report.replicas.map(({ outcome }) => outcome)).toEqual(["deferred", "ok"]);
    resolve(sent);
    // What the second has captured was sent by the first.
    expect((await first).replicas[0]).toMatchObject({ outcome: "ok", points: 2, bytesSent: 4 });
  });

  it.each([
    ["is well", () => Promise.resolve(sent), ["somebody has deleted"]],
    ["fails", () => Promise.reject(broken), ["somebody has deleted", "It broke"]],
  ])("tells what it saw at a replica, also when what it does there for a later job %s", async (_, later, told) => {
    const { promise: slow, resolve } = Promise.withResolvers<Replicated>();
    const answers = [() => slow, later];
    const { context } = contextWith({ replicate: () => answers.shift()?.() ?? Promise.resolve(sent) });
    const onlyFar = { ...policy, replicate: policy.replicate.slice(0, 1) };
    const first = runJob(context, { policy: onlyFar });
    expect((await runJob(context, { policy: onlyFar })).replicas).toMatchObject([{ outcome: "deferred" }]);
    resolve({ ...sent, outcome: "partial", errors: [{ code: "damaged", message: "somebody has deleted" }] });
    const [replica] = (await first).replicas;
    expect(replica).toMatchObject({ outcome: "partial", points: expect.toBeOneOf([1, 2]) });
    expect(replica?.errors.map(({ message }) => message.split(".")[0])).toEqual(told);
  });

  it("tells what happens as it happens", async () => {
    const { context } = contextWith({
      capture: ({ progress }) => {
        progress(5, 10);
        return Promise.resolve({ point, errors: [] });
      },
    });
    const events: string[] = [];
    await runJob(context, { policy: { ...policy, replicate: [] }, onEvent: ({ event }) => events.push(event) });
    expect(events).toEqual([
      "capture-started",
      "capture-progress",
      "capture-started",
      "capture-progress",
      "capture-finished",
      "capture-finished",
      "prune-started",
      "prune-finished",
    ]);
  });

  it("reports what was cancelled, and throws nothing", async () => {
    const controller = new AbortController();
    controller.abort();
    const { context, calls } = contextWith({});
    const report = await runJob(context, { policy, signal: controller.signal });
    expect(report.sources.map(({ errors }) => errors[0]?.code)).toEqual(["cancelled", "cancelled"]);
    expect(report.outcome).toBe("failed");
    expect(calls).not.toContain("capture docs");
  });

  it("captures only the sources asked for", async () => {
    const { context, calls } = contextWith({});
    await runJob(context, { policy, sources: policy.sources.slice(1) });
    expect(calls.filter((call) => call.startsWith("capture"))).toEqual(["capture www"]);
  });
});
