import * as fs from "node:fs/promises";
import { expect, it } from "vitest";
import { FailureRecords } from "../../src/daemon/failure-records.ts";
import type { ErrorReport, JobReport, Outcome } from "../../src/job/report.ts";
import { StateFolder } from "../../src/job/state-folder.ts";
import { tempDir } from "../helpers/temp-dir.ts";

const broken: ErrorReport = { code: "source_missing", message: "Cannot read docs" };
const stopped: ErrorReport = { code: "cancelled", message: "Stopped" };

/** A job of the policy `often` at second `finished`: one capture of `docs`, one replication to and one prune at `far`. */
function job(
  outcome: Outcome,
  finished: number,
  error = broken,
): Pick<JobReport, "policy" | "sources" | "replicas" | "prune"> {
  const errors = outcome === "failed" ? [error] : [];
  const stage = { outcome, started: 0, finished, errors };
  return {
    policy: "often",
    sources: [{ ...stage, source: "docs", point: undefined }],
    replicas: [{ ...stage, replica: "far", points: 0, bytesRead: 0, bytesSent: 0, backlog: undefined }],
    prune: [{ ...stage, location: "far", kept: 0, forgotten: 0, givenUp: 0 }],
  };
}

async function made() {
  const folder = await tempDir();
  const again = async (): Promise<FailureRecords> => {
    const records = new FailureRecords(new StateFolder(folder));
    await records.load();
    return records;
  };
  return { folder, records: await again(), again };
}

it("counts failures in a row, and begins again after a success, even a partial one", async () => {
  const { records } = await made();
  expect([records.captures("often", "docs", undefined).count, records.prunes("often", "far").count]).toEqual([0, 0]);
  await records.note(job("failed", 10));
  await records.note(job("failed", 20));
  expect([records.captures("often", "docs", 5).count, records.prunes("often", "far").count]).toEqual([2, 2]);
  await records.note(job("partial", 30));
  expect([records.captures("often", "docs", 5).count, records.prunes("often", "far").count]).toEqual([0, 0]);
});

it("goes on counting after a restart", async () => {
  const { records, again } = await made();
  await records.note(job("failed", 10));
  const restarted = await again();
  await restarted.note(job("failed", 20));
  expect(restarted.captures("often", "docs", undefined)).toMatchObject({ count: 2, message: "Cannot read docs" });
  expect((await again()).prunes("often", "far").count).toBe(2);
});

it("sees a recovery point that was made since without a daemon", async () => {
  const { records } = await made();
  await records.note(job("failed", 10));
  expect(records.captures("often", "docs", 10).count).toBe(1);
  expect(records.captures("often", "docs", 11).count).toBe(0);
});

it("takes what was told to stop for neither failure nor success", async () => {
  const { records } = await made();
  await records.note(job("failed", 10));
  await records.note(job("failed", 20, stopped));
  expect([records.captures("often", "docs", undefined).count, records.prunes("often", "far").count]).toEqual([1, 1]);
});

it("doesn't blame prunes for a location that is away", async () => {
  const { records } = await made();
  await records.note(job("failed", 10, { code: "storage_unreachable", message: "Cannot reach far" }));
  expect([records.captures("often", "docs", undefined).count, records.prunes("often", "far").count]).toEqual([1, 0]);
  expect(records.replications("often", "far")).toEqual({ count: 1, last: 10, message: "Cannot reach far" });
});

it("takes what was left to another run for neither failure nor success", async () => {
  const { records } = await made();
  await records.note(job("failed", 10));
  const { replicas, prune, ...rest } = job("ok", 20);
  await records.note({
    ...rest,
    replicas: replicas.map((one) => ({ ...one, outcome: "deferred" })),
    prune: prune.map((one) => ({ ...one, outcome: "deferred" })),
  });
  expect([records.replications("often", "far").count, records.prunes("often", "far").count]).toEqual([1, 1]);
});

/** The same job, with a replication that sent what it could and said that. */
function said(errors: ErrorReport[], finished: number): ReturnType<typeof job> {
  const { replicas, ...rest } = job("ok", finished);
  const outcome = errors.length === 0 ? "ok" : "partial";
  return { ...rest, replicas: replicas.map((one) => ({ ...one, outcome, errors })) };
}

const deleted: ErrorReport = { code: "points_deleted", message: "Somebody has deleted 2." };
const shared: ErrorReport = { code: "replica_shared", message: "Somebody writes." };

it("counts a replication that could not send all as failed, until one can", async () => {
  const { records } = await made();
  const unsent: ErrorReport = { code: "damaged", message: "Cannot send one" };
  await records.note(said([unsent], 10));
  await records.note(said([deleted, unsent], 20));
  expect(records.replications("often", "far")).toEqual({ count: 2, last: 20, message: "Cannot send one" });
  await records.note(said([deleted, { code: "lock_incomplete", message: "Cannot lock one" }], 30));
  expect(records.replications("often", "far").count).toBe(0);
});

it("remembers deleted points when all is well again, over a restart too, each deletion as one of its own", async () => {
  const { records, again } = await made();
  await records.note(said([deleted], 10));
  await records.note(said([{ ...deleted, message: "Somebody has deleted 712." }], 20));
  await records.note(said([], 30));
  const seen = { since: 20, last: 20, lasts: false, message: "Somebody has deleted 712." };
  expect((await again()).sign("often", "far", "points_deleted")).toEqual(seen);
  expect((await again()).interference("often", "far")).toBe(20);
  expect(records.interference("often", "near")).toBeUndefined();
});

it("takes another host that writes run after run for one sign, until a replication that looked sees none", async () => {
  const { records } = await made();
  const since = (): number | undefined => records.sign("often", "far", "replica_shared")?.since;
  await records.note(said([shared], 10));
  await records.note(job("failed", 20));
  await records.note(said([deleted, shared], 30));
  expect(since()).toBe(10);
  await records.note(said([], 40));
  await records.note(said([shared], 50));
  expect(since()).toBe(50);
});

it("writes only when something has changed", async () => {
  const { folder, records } = await made();
  await records.note(job("ok", 10));
  expect(await fs.readdir(folder)).toEqual([]);
  await records.note(job("failed", 20));
  expect(await fs.readdir(folder)).toEqual(["failures.json"]);
});
