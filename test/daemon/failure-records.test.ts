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

it("takes a replication that was left to another one for neither failure nor success", async () => {
  const { records } = await made();
  await records.note(job("failed", 10));
  const { replicas, ...rest } = job("ok", 20);
  await records.note({ ...rest, replicas: replicas.map((one) => ({ ...one, outcome: "deferred" })) });
  expect(records.replications("often", "far").count).toBe(1);
});

it("writes only when something has changed", async () => {
  const { folder, records } = await made();
  await records.note(job("ok", 10));
  expect(await fs.readdir(folder)).toEqual([]);
  await records.note(job("failed", 20));
  expect(await fs.readdir(folder)).toEqual(["failures.json"]);
});
