import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs";
import * as path from "node:path";
import { expect, test } from "vitest";
import { removeLeftSpools, Spool, spoolSize } from "../../../../src/capture/vm/memory/spool.ts";
import { waitFor } from "../../../helpers/guest/qemu.ts";
import { rejection } from "../../../helpers/rejection.ts";
import { tempDir } from "../../../helpers/temp-dir.ts";

const own = { pid: process.pid, uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0, seccomp: false };
const version = { major: 7, minor: 2 };
const mib = 1024 * 1024;

async function reserve(folder: string, more: Partial<Parameters<typeof Spool.reserve>[0]> = {}): Promise<Spool> {
  return await Spool.reserve({ folder, size: 8 * mib, process: own, version, ...more });
}

test("a spool is a file for one user, with all its room; writing to it as QEMU does keeps the room", async () => {
  const folder = path.join(await tempDir(), "it's a 'folder'");
  fs.mkdirSync(folder);
  const spool = await reserve(folder);
  const before = fs.statSync(spool.path);
  expect(before.mode & 0o777).toBe(0o600);
  expect(before.size).toBe(8 * mib);
  expect(before.blocks * 512).toBeGreaterThanOrEqual(8 * mib);
  expect(spool.uri).toMatch(/^exec:/);
  // As migration/exec.c of QEMU's source does.
  execFileSync("/bin/sh", ["-c", spool.uri.slice("exec:".length)], { input: "saved" });
  const after = fs.statSync(spool.path);
  expect(after.size).toBe(8 * mib);
  expect(after.blocks).toBe(before.blocks);
  expect(fs.readFileSync(spool.path).subarray(0, 6).toString()).toBe("saved\0");
  await spool.release();
  await spool.release();
  expect(fs.readdirSync(folder)).toEqual([]);
});

test.runIf(own.uid === 0)("the file is that of QEMU's user, and a folder closed to that user is refused", async () => {
  const folder = await tempDir();
  fs.chmodSync(folder, 0o711);
  const peer = { ...own, uid: 65_534, gid: 65_534 };
  const spool = await reserve(folder, { process: peer });
  expect(fs.statSync(spool.path)).toMatchObject({ uid: 65_534, gid: 65_534 });
  await spool.release();
  fs.chmodSync(folder, 0o700);
  const error = await rejection(reserve(folder, { process: peer }));
  expect(error).toMatchObject({ code: "vm_refused" });
  expect(error.message).toContain(`${folder} is closed to its user 65534`);
  expect(fs.readdirSync(folder)).toEqual([]);
});

test.runIf(own.uid === 0)("a QEMU in a file system of its own is refused", async () => {
  const folder = await tempDir();
  const root = await tempDir();
  const busybox = path.join(root, "busybox");
  fs.copyFileSync("/bin/busybox", busybox);
  const inside = spawn("chroot", [root, "/busybox", "sleep", "60"], { stdio: "ignore" });
  try {
    await once(inside, "spawn");
    const name = (): string => fs.readFileSync(`/proc/${inside.pid}/cmdline`, "utf8");
    await waitFor("it to be inside", () => name().startsWith("/busybox"));
    const error = await rejection(reserve(folder, { process: { ...own, pid: inside.pid ?? 0 } }));
    expect(error.message).toContain("file system of its own");
    expect(fs.readdirSync(folder)).toEqual([]);
  } finally {
    inside.kill("SIGKILL");
  }
});

test("in a sandbox, only a QEMU that can write by itself without danger", async () => {
  const folder = await tempDir();
  const error = await rejection(reserve(folder, { process: { ...own, seccomp: true } }));
  expect(error).toMatchObject({ code: "vm_refused" });
  const spool = await reserve(folder, { process: { ...own, seccomp: true }, version: { major: 10, minor: 0 } });
  expect(spool.uri).toBe(`file:${spool.path}`);
  await spool.release();
});

test("without room, or without a folder, it is refused and nothing is left", async () => {
  const folder = await tempDir();
  const full = await rejection(reserve(folder, { size: 2 ** 50 }));
  expect(["vm_failed", "vm_refused"]).toContain((full as Error & { code: string }).code);
  expect(fs.readdirSync(folder)).toEqual([]);
  const missing = await rejection(reserve(path.join(folder, "missing")));
  expect(missing).toMatchObject({ code: "vm_refused" });
  expect(missing.message).toContain("ENOENT");
});

test("spools of processes that have died are removed, those of the living stay, and so does everything else", async () => {
  const folder = await tempDir();
  const alive = await reserve(folder);
  const dead = path.join(folder, ".stillpoint-spool-999999999-12345-0123456789abcdef");
  const reused = path.join(folder, `.stillpoint-spool-${process.pid}-1-0123456789abcdef`);
  const other = path.join(folder, "spool");
  for (const file of [dead, reused, other]) fs.writeFileSync(file, "x");
  expect(await removeLeftSpools(folder)).toBe(2);
  expect(fs.readdirSync(folder).toSorted()).toEqual([path.basename(alive.path), "spool"]);
  fs.writeFileSync(dead, "x");
  const another = await reserve(folder);
  expect(fs.existsSync(dead)).toBe(false);
  await another.release();
  await alive.release();
});

test("there is room for a save whatever is in RAM", () => {
  const pages = 2 ** 20;
  // Each page with a header of 8 bytes and a name of 16, in sections of one page each.
  expect(spoolSize(pages * 4096)).toBeGreaterThan(pages * (4096 + 8 + 17 + 10) + 64 * mib);
});
