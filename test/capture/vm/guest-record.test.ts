import { spawn } from "node:child_process";
import * as fs from "node:fs";
import * as path from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { readRecord, removeOldRecords, removeRecord, writeRecord } from "../../../src/capture/vm/guest-record.ts";
import { tempName } from "../../../src/host/write-durably.ts";
import { describeProcess } from "../../../src/qemu/qmp-peer.ts";
import { tempDir } from "../../helpers/temp-dir.ts";

const content = { pausing: true, capabilities: [{ capability: "events", state: true }], bandwidth: 1000 };

async function process_(): Promise<{ readonly pid: number; readonly startTime: string }> {
  const child = spawn("sleep", ["100"]);
  onTestFinished(() => void child.kill("SIGKILL"));
  const found = await describeProcess(child.pid ?? 0);
  if (!found) throw new Error("the process isn't there");
  return found;
}

function change(folder: string, changes: object): void {
  const file = path.join(folder, fs.readdirSync(folder)[0] ?? "");
  fs.writeFileSync(file, JSON.stringify({ ...(JSON.parse(fs.readFileSync(file, "utf8")) as object), ...changes }));
}

test("a record is read as it was written, until it is removed; the folder is made for it", async () => {
  const folder = path.join(await tempDir(), "spool");
  const qemu = await process_();
  expect(await readRecord(folder, qemu)).toBeUndefined();
  await writeRecord(folder, qemu, content);
  expect(await readRecord(folder, qemu)).toMatchObject(content);
  await removeRecord(folder, qemu);
  expect(await readRecord(folder, qemu)).toBeUndefined();
  await removeRecord(folder, qemu);
});

test("it speaks of one process of one boot: of no other with the same number", async () => {
  const folder = await tempDir();
  const qemu = await process_();
  await writeRecord(folder, qemu, content);
  expect(await readRecord(folder, { ...qemu, startTime: "1" })).toBeUndefined();
  change(folder, { boot: "another" });
  expect(await readRecord(folder, qemu)).toBeUndefined();
});

test("one that is damaged, a link, or somebody else's, counts as none", async () => {
  const folder = await tempDir();
  const qemu = await process_();
  await writeRecord(folder, qemu, content);
  const file = path.join(folder, fs.readdirSync(folder)[0] ?? "");
  const good = fs.readFileSync(file);
  for (const bad of ["", "{", "[]", good.subarray(0, 40)]) {
    fs.writeFileSync(file, bad);
    expect(await readRecord(folder, qemu)).toBeUndefined();
  }
  fs.writeFileSync(`${folder}/elsewhere`, good);
  fs.unlinkSync(file);
  fs.symlinkSync("elsewhere", file);
  expect(await readRecord(folder, qemu)).toBeUndefined();
});

test("records of processes that have ended are removed, and those that were never finished a day later; nothing else", async () => {
  const folder = await tempDir();
  const qemu = await process_();
  await writeRecord(folder, qemu, content);
  await writeRecord(folder, { ...qemu, startTime: "1" }, content);
  fs.writeFileSync(`${folder}/other`, "");
  fs.writeFileSync(path.join(folder, tempName()), "");
  await removeOldRecords(folder, Date.now());
  expect(fs.readdirSync(folder)).toHaveLength(3);
  await removeOldRecords(folder, Date.now() + 25 * 3_600_000);
  expect(fs.readdirSync(folder)).toHaveLength(2);
  expect(await readRecord(folder, qemu)).toMatchObject(content);
  expect(fs.existsSync(`${folder}/other`)).toBe(true);
});
