import * as fs from "node:fs";
import * as path from "node:path";
import { expect, test } from "vitest";
import { BlobStore } from "../../src/repository/blobs/blob-store.ts";
import { loadCatalog } from "../../src/repository/points/catalog.ts";
import { putSmallObject } from "../../src/repository/points/small-objects.ts";
import { sweep } from "../../src/repository/sweep/sweep.ts";
import { inlineExecutor } from "../../src/repository/threads/executor.ts";
import { capture } from "../helpers/capture.ts";
import { rejection } from "../helpers/rejection.ts";
import { makeTestRepository, type TestRepository } from "../helpers/repository.ts";
import { tempDir } from "../helpers/temp-dir.ts";

const hour = 3_600_000;
const hook = { run: ["true"], timeout: 10_000 };

async function makeSource(): Promise<string> {
  const folder = await tempDir();
  fs.writeFileSync(path.join(folder, "file"), "content");
  return folder;
}

async function points({ repository }: TestRepository) {
  return (await loadCatalog(repository)).points;
}

test("each point names the one before it of the same source, by its digest", async () => {
  const tested = await makeTestRepository();
  const source = await makeSource();
  const first = await capture(tested, { kind: "directory", path: source });
  await capture(tested, { kind: "command", run: ["true"], timeout: 10_000, name: "another" } as never);
  tested.clock.pass(1000);
  const second = await capture(tested, { kind: "directory", path: source });
  expect(first.point.manifest.previous).toBeNull();
  expect(second.point.manifest.previous).toBe(first.point.digest);
});

test("the manifest says what was captured, when, by what", async () => {
  const tested = await makeTestRepository();
  const { point } = await capture(tested, { kind: "directory", path: await makeSource() }, { tags: ["nightly"] });
  expect(await points(tested)).toHaveLength(1);
  expect(point.manifest).toMatchObject({
    source: "tested",
    policy: "policy",
    host: "host",
    kind: "directory",
    tags: ["nightly"],
    time: "2026-11-22T00:00:00.000Z",
    software: { stillpoint: "0.0.0", node: process.versions.node },
    statistics: { size: 7 },
  });
});

test("a capture that took longer than sweeps allow for isn't committed", async () => {
  const tested = await makeTestRepository();
  const beforePass = (): void => tested.clock.pass(3_600_001);
  const error = await rejection(capture(tested, { kind: "directory", path: await makeSource(), beforePass }));
  expect(error).toMatchObject({ code: "capture_too_old" });
  expect(await points(tested)).toEqual([]);
});

test("nor is one that took longer than another machine's sweeps allow for, by the record that one has left", async () => {
  const tested = await makeTestRepository();
  const { clock, repository } = tested;
  const beforePass = async (): Promise<void> => {
    clock.pass(hour);
    await sweep(repository, { grace: 24 * hour, executor: inlineExecutor });
    clock.pass(24 * hour);
  };
  const source = { kind: "directory", path: await makeSource() } as const;
  await capture(tested, source);
  const error = await rejection(capture(tested, { ...source, beforePass }, { grace: 72 * hour }));
  expect(error).toMatchObject({ code: "capture_too_old", message: expect.stringMatching(/1380 min/) as string });
  expect(await points(tested)).toHaveLength(1);
});

test("a cancelled capture commits nothing", async () => {
  const tested = await makeTestRepository();
  const cancel = new AbortController();
  const beforePass = (): void => cancel.abort();
  const error = await rejection(
    capture(tested, { kind: "directory", path: await makeSource(), beforePass }, { signal: cancel.signal }),
  );
  expect(error).toMatchObject({ code: "cancelled" });
  expect(await points(tested)).toEqual([]);
});

test("hooks that keep the source still raise the consistency; not when it was seen to change all the same", async () => {
  const tested = await makeTestRepository();
  const source = await makeSource();
  const hooks = { before: hook, always: hook };
  const still = await capture(tested, { kind: "directory", path: source, hooks });
  expect(still.point.manifest.consistency).toBe("application");
  const beforePass = (): void => fs.appendFileSync(path.join(source, "file"), "x");
  const moving = await capture(tested, { kind: "directory", path: source, hooks, beforePass });
  expect(moving.point.manifest.consistency).toBe("none");
});

test("a hook that fails after the instant is reported; the point is made", async () => {
  const tested = await makeTestRepository();
  const hooks = { before: hook, always: { run: ["false"], timeout: 10_000 } };
  const { problems } = await capture(tested, { kind: "directory", path: await makeSource(), hooks });
  expect(problems).toMatchObject([{ code: "hook_failed" }]);
  expect(await points(tested)).toHaveLength(1);
});

test("with packs lost nothing is taken over from the previous point: everything is read and stored again", async () => {
  const tested = await makeTestRepository();
  const source = await makeSource();
  tested.clock.pass(Date.now() - tested.clock.now() + 3_600_000);
  await capture(tested, { kind: "directory", path: source });
  const packs = [...tested.disk.contents().keys()].filter((name) => name.includes("/packs/"));
  for (const pack of packs) await tested.disk.unlink(pack);
  const { point } = await capture(tested, { kind: "directory", path: source });
  expect(point.manifest.statistics.read).toBeGreaterThanOrEqual(7);
  expect(point.manifest.statistics.new).toBeGreaterThan(7);
  expect((await BlobStore.load(tested.repository)).lost.size).toBeGreaterThan(0);
});

test("nor when the previous point's newest proof says that it isn't whole", async () => {
  const tested = await makeTestRepository();
  const source = await makeSource();
  tested.clock.pass(Date.now() - tested.clock.now() + 3_600_000);
  const read: boolean[] = [];
  for (const result of ["passed", "failed", "passed"] as const) {
    const { point } = await capture(tested, { kind: "directory", path: source });
    read.push(point.manifest.statistics.read > 0);
    const time = new Date(tested.clock.now()).toISOString();
    const proof = { version: 1, point: point.id, time, method: "read-data", seconds: 1, detail: "", result } as const;
    await putSmallObject(tested.repository, "proofs", proof);
    tested.clock.pass(hour);
  }
  expect(read).toEqual([true, false, true]);
});

test("progress is told in bytes", async () => {
  const seen: number[] = [];
  const progress = ({ done }: { done: number }): void => void seen.push(done);
  await capture(await makeTestRepository(), { kind: "directory", path: await makeSource() }, { progress });
  expect(seen.at(-1)).toBeGreaterThanOrEqual(7);
});
