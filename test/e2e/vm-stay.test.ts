/** A machine that is booted to stay: in the end it needs nothing of ours, and can be protected again. */
import { execFileSync } from "node:child_process";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { afterEach, expect, test } from "vitest";
import { Qmp } from "../../src/qemu/qmp.ts";
import type { RecoveryPoint } from "../../src/repository/points/manifest.ts";
import { startCounterGuest } from "../helpers/guest/counter-guest.ts";
import { contradictions, readMemoryRecord, readSerialCount } from "../helpers/guest/counter-record.ts";
import { waitFor } from "../helpers/guest/qemu.ts";
import { VmSite } from "../helpers/guest/vm-site.ts";
import { isRunning } from "../helpers/is-running.ts";
import { tempDir } from "../helpers/temp-dir.ts";
import { isRoot, stillpoint } from "./host.ts";

interface Booted {
  readonly boot: string;
  readonly state: string;
  readonly pid: number;
  readonly qmp: string;
  readonly serial: readonly string[];
  readonly dir: string;
}

let site: VmSite;
let point: RecoveryPoint;
let state: string;

/** A guest that counts, captured. */
async function prepare(size = 16 * 1024 * 1024): Promise<void> {
  site = await VmSite.make();
  state = fs.mkdtempSync(path.join(os.tmpdir(), "stillpoint-stay-"));
  const guest = await startCounterGuest({ disks: [{}, { format: "qcow2", size }] });
  await guest.ticks(50);
  ({ point } = await site.capture(guest));
  await guest.stop();
}

afterEach(() => {
  for (const { boot: name } of list()) stop(name);
  expect(fs.readdirSync(path.join(state, "boots"))).toEqual([]);
  expect(fs.readFileSync("/proc/mounts", "utf8")).not.toContain(state);
  expect([...pids].filter(isRunning)).toEqual([]);
  pids.clear();
  fs.rmSync(state, { recursive: true });
});

const pids = new Set<number>();

function boot(id: string, ...args: string[]): Booted {
  const { stdout, stderr } = stillpoint(["boot", id, "--stay", ...args, ...site.location, "--state", state, "--json"]);
  if (stdout === "") throw new Error(stderr);
  const booted = JSON.parse(stdout) as Booted;
  pids.add(booted.pid).add(supervisorOf(booted));
  return booted;
}

function supervisorOf({ dir }: Booted): number {
  const record = JSON.parse(fs.readFileSync(path.join(dir, "boot.json"), "utf8")) as { supervisor: { pid: number } };
  return record.supervisor.pid;
}

function list(): Booted[] {
  return JSON.parse(stillpoint(["boot", "list", "--state", state, "--json"]).stdout) as Booted[];
}

function stop(name: string): string {
  const { status, stdout, stderr } = stillpoint(["boot", "stop", name, "--state", state]);
  expect([status, stderr]).toEqual([0, ""]);
  return stdout;
}

async function settled({ boot: name, dir }: Booted): Promise<void> {
  await waitFor("the machine to have settled", () => {
    const now = list().find((one) => one.boot === name);
    if (now?.state !== "settling" && now?.state !== "settled") throw new Error(log(dir));
    return now.state === "settled";
  });
}

function log(dir: string): string {
  return fs.readFileSync(path.join(dir, "boot.log"), "utf8");
}

async function ticks({ serial }: Booted, more: number): Promise<void> {
  const target = readSerialCount(serial[0] ?? "") + more;
  await waitFor(`count ${String(target)}`, () => readSerialCount(serial[0] ?? "") >= target);
}

test("settles while it runs, goes on with nothing of ours, is captured, and booted from there", async () => {
  await prepare();
  const one = boot(point.id);
  await ticks(one, 5);
  await settled(one);
  const supervisor = supervisorOf(one);
  await waitFor("the supervisor's end", () => !isRunning(supervisor));
  const images = [0, 1].map((number) => path.join(one.dir, `disk${String(number)}.qcow2`));
  for (const image of images)
    expect(execFileSync("qemu-img", ["info", "-U", image], { encoding: "utf8" })).not.toContain("backing");
  fs.renameSync(path.join(site.folder, "repository"), path.join(site.folder, "away"));
  await ticks(one, 20);
  fs.renameSync(path.join(site.folder, "away"), path.join(site.folder, "repository"));
  const { point: again, problems } = await site.capture({ ...one, folder: one.dir } as never);
  expect(problems).toEqual([]);
  expect(again.manifest.consistency).toBe("full-state");
  const disks = [await site.read(again, "disk/disk0"), await site.read(again, "disk/disk1")];
  const memory = await site.readMemory(again);
  expect(contradictions({ memory, disks })).toEqual([]);
  expect(readMemoryRecord(memory).count).toBeGreaterThan(readMemoryRecord(await site.readMemory(point)).count);
  await ticks(one, 5);
  const other = boot(again.id);
  await ticks(other, 5);
  expect(stop(other.boot)).toContain("nothing is left");
  expect(stop(one.boot)).toContain("nothing is left");
});

test("stays at the instant until it is told to go on, with all of its memory by then", async () => {
  await prepare();
  const one = boot(point.id, "--paused");
  await settled(one);
  const ram = path.join(await tempDir(), "ram");
  await using monitor = await Qmp.connect(one.qmp, { timeout: 60_000 });
  await monitor.execute("pmemsave", { val: 0, size: 64 * 1024 * 1024, filename: ram });
  expect(fs.readFileSync(ram).equals(fs.readFileSync(await site.readMemory(point)))).toBe(true);
  await monitor.execute("cont");
  await ticks(one, 5);
});

test("stands still when the process that serves it dies too early; that is said, and it can be stopped", async () => {
  // Zeros that take their time.
  await prepare(8 * 1024 ** 3);
  const one = boot(point.id);
  process.kill(supervisorOf(one), "SIGKILL");
  await waitFor("the loss", () => list()[0]?.state === "lost");
  expect(stillpoint(["boot", "list", "--state", state]).stderr).toContain(`boot stop ${one.boot}`);
  const other = boot(point.id, "--cold");
  expect(list().map((each) => each.state)).toEqual(["lost", "settling"]);
  expect(stop(other.boot)).toContain("nothing is left");
  expect(stop(one.boot)).toContain("nothing is left");
});

test("that ends before it has settled leaves disks that are whole", async () => {
  await prepare(2 * 1024 ** 3);
  const one = boot(point.id);
  const supervisor = supervisorOf(one);
  process.kill(one.pid, "SIGTERM");
  await waitFor("the supervisor's end", () => !isRunning(supervisor));
  expect(list()).toMatchObject([{ boot: one.boot, state: "ended" }]);
  const folder = await tempDir();
  const disks = [0, 1].map((number) => {
    const image = path.join(one.dir, `disk${String(number)}.qcow2`);
    expect(execFileSync("qemu-img", ["info", image], { encoding: "utf8" })).not.toContain("backing");
    execFileSync("qemu-img", ["convert", "-O", "raw", image, path.join(folder, String(number))]);
    return path.join(folder, String(number));
  });
  expect(contradictions({ disks })).toEqual([]);
  expect(stop(one.boot)).toContain("its folder is removed");
});

test.runIf(isRoot)("has all of its memory before it runs where QEMU may not wait for pages", async () => {
  await prepare();
  execFileSync("chmod", ["-R", "a+rX", site.folder]);
  execFileSync("chown", ["-R", "nobody", state]);
  const args = [...site.location, "--state", state, "--json"];
  const started = stillpoint(["boot", point.id, "--stay", ...args], { asNobody: true });
  expect(started).toMatchObject({ status: 0 });
  const one = JSON.parse(started.stdout) as Booted;
  pids.add(one.pid).add(supervisorOf(one));
  expect(fs.readFileSync(`/proc/${String(one.pid)}/cmdline`, "utf8")).toContain("-incoming\0fd:3");
  await settled(one);
  await ticks(one, 5);
});
