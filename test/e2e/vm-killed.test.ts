/**
 * Whatever part of a capture is killed, at whatever step: the guest goes on, without help, and nothing is left in it after the
 * next start. Its own count proves that it goes on.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs";
import * as path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { reconcile } from "../../src/capture/vm/reconcile.ts";
import { type GuestRecord, writeRecord } from "../../src/capture/vm/guest-record.ts";
import type { VmSource } from "../../src/capture/vm/vm-source.ts";
import { findQemu } from "../../src/qemu/qmp-peer.ts";
import { Qmp } from "../../src/qemu/qmp.ts";
import { type CounterGuest, startCounterGuest } from "../helpers/guest/counter-guest.ts";
import type { Doom } from "../helpers/guest/doomed-capture.ts";
import { describeGuest } from "../helpers/guest/leftovers.ts";
import { waitFor } from "../helpers/guest/qemu.ts";
import { tempDir } from "../helpers/temp-dir.ts";
import { isRoot, project } from "./host.ts";

const program = path.join(project, "test/helpers/guest/doomed-capture.ts");
/** Every step at each moment takes a quarter of an hour: for a nightly run. */
const everyStep = process.env["STILLPOINT_EVERY_STEP"] === "1";

let guest: CounterGuest;
/** Where QEMU looks for programs first. */
let programs: string;
let source: VmSource;
let untouched: object;

beforeEach(async () => {
  programs = await tempDir();
  const environment = { PATH: `${programs}:${process.env["PATH"] ?? ""}` };
  guest = await startCounterGuest({ memory: 64, disks: [{}, { format: "qcow2" }], environment });
  const spool = path.join(guest.folder, "spool");
  fs.mkdirSync(spool);
  source = { qmp: guest.qmp, memory: true, maxPause: 30_000, disks: "all", spool, scratch: 64 * 1024 * 1024 };
  untouched = await describeGuest(guest, spool);
});

afterEach(async () => {
  await guest.stop();
});

function startCapture(doom: Partial<Doom> = {}): ChildProcess {
  const repository = fs.mkdtempSync(path.join(guest.folder, "repository-"));
  fs.rmdirSync(repository);
  const options = JSON.stringify({ source, repository, ...doom } satisfies Doom);
  return spawn(process.execPath, ["--disable-warning=ExperimentalWarning", program, options], {
    stdio: ["ignore", "pipe", "ignore"],
  });
}

async function ended(child: ChildProcess): Promise<{ readonly status: number | null; readonly output: string }> {
  let output = "";
  child.stdout?.on("data", (data: Buffer) => (output += data.toString()));
  // The end of the process alone may be told before the last of its output.
  await once(child, "close");
  return { status: child.exitCode, output };
}

/** The guest goes on by itself; then whatever comes next finds nothing left, or removes it. */
async function expectGoesOn(): Promise<void> {
  await guest.ticks(10);
  await watchdogGone();
  expect(await reconcile(source)).toMatchObject({ problems: [] });
  expect(await describeGuest(guest, source.spool)).toEqual(untouched);
}

/** Process numbers of the watchdogs of this guest. */
function watchdogs(): number[] {
  return fs.readdirSync("/proc").flatMap((pid) => {
    try {
      const command = fs.readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
      return command.includes(guest.qmp) && command.some((word) => word.includes("watchdog-main")) ? [Number(pid)] : [];
    } catch {
      return [];
    }
  });
}

async function watchdogGone(): Promise<void> {
  await waitFor("the end of the watchdog", () => watchdogs().length === 0);
}

/** Waits until the capture stands still at its step. */
async function standing({ pid = 0 }: ChildProcess): Promise<void> {
  await waitFor("the capture to stand still", () => standsStill(pid));
}

/** Whether it was stopped by a signal. A process that has ended doesn't stand. */
function standsStill(pid: number): boolean {
  try {
    return / \(.*\) T /.test(fs.readFileSync(`/proc/${String(pid)}/stat`, "utf8"));
  } catch {
    return false;
  }
}

async function guestIs(status: string): Promise<boolean> {
  await using qmp = await Qmp.connect(guest.qmp);
  return (await qmp.execute<{ status: string }>("query-status")).status === status;
}

/**
 * Lets the program that QEMU starts to write the spool stand still after the first bytes, when much is still to come. It can't
 * be met while it writes: on a quiet machine that takes a moment, and on a busy one it is over when it is looked for.
 */
function letWriterStand(): void {
  fs.writeFileSync(path.join(programs, "cat"), "#!/bin/sh\nhead -c 50000\nkill -STOP $$\nexec /bin/cat\n", {
    mode: 0o755,
  });
}

async function standingWriter(): Promise<number> {
  let writer: number | undefined;
  await waitFor("the spool's writer to stand still", () => {
    writer = childrenOf(guest.pid).find(standsStill);
    return writer !== undefined;
  });
  return writer ?? 0;
}

function childrenOf(pid: number): number[] {
  const tasks = `/proc/${String(pid)}/task`;
  const lists = fs.readdirSync(tasks).map((task) => {
    try {
      return fs.readFileSync(`${tasks}/${task}/children`, "utf8");
    } catch {
      return "";
    }
  });
  return lists.join(" ").split(" ").filter(Boolean).map(Number);
}

describe.runIf(isRoot)("the capture is killed", () => {
  test("at one step after the other, and the next one succeeds", { timeout: 3_600_000 }, async () => {
    const whole = await ended(startCapture());
    expect(whole.status).toBe(0);
    const steps = Number(whole.output);
    expect(steps).toBeGreaterThan(40);
    const moments = ["before", "given", "answered"] as const;
    const stride = everyStep ? 1 : 13;
    for (let number = everyStep ? 3 : 80; number <= 3 * steps; number += stride) {
      const doom = { step: Math.floor(number / 3), moment: moments[number % 3] ?? "given" };
      // It may have ended before: the number of steps varies a little, with how long things take.
      expect([null, 0]).toContain((await ended(startCapture(doom))).status);
      await expectGoesOn();
    }
    expect((await ended(startCapture())).status).toBe(0);
    await expectGoesOn();
  });

  test("with its watchdog, while the guest stands still: the next start lets it run", async () => {
    const capture = startCapture({ step: "stop", stand: true });
    await standing(capture);
    const count = guest.count();
    for (const pid of watchdogs()) process.kill(pid, "SIGKILL");
    capture.kill("SIGKILL");
    await once(capture, "exit");
    expect(await guestIs("paused")).toBe(true);
    expect(guest.count()).toBe(count);
    expect((await reconcile(source)).mended).toContain("the guest paused");
    await expectGoesOn();
  });
});

describe.runIf(isRoot)("somebody else pauses the guest", () => {
  test("and nobody lets it run again: not before a capture, and not after one that was killed", async () => {
    await using qmp = await Qmp.connect(guest.qmp);
    const { "max-bandwidth": bandwidth } = await qmp.execute<{ "max-bandwidth": number }>("query-migrate-parameters");
    await qmp.execute("stop");
    await qmp.close();
    expect(await reconcile(source)).toMatchObject({ mended: [], problems: [] });
    // As left by a capture that was killed an hour ago; somebody has let the guest run since, and then paused it.
    const owner = await findQemu(guest.qmp);
    const capabilities: never[] = [];
    await writeRecord(source.spool, owner, { pausing: true, capabilities, bandwidth });
    const [file = ""] = fs.readdirSync(source.spool).map((name) => path.join(source.spool, name));
    const record = JSON.parse(fs.readFileSync(file, "utf8")) as GuestRecord;
    fs.writeFileSync(file, JSON.stringify({ ...record, uptime: record.uptime - 3600 }), { mode: 0o600 });
    const { mended, problems } = await reconcile(source);
    expect(mended).toEqual([]);
    expect(problems.map(({ message }) => message).join()).toContain("somebody else has paused it");
    expect(await guestIs("paused")).toBe(true);
    // And once more as it is when nobody has.
    await writeRecord(source.spool, owner, { pausing: true, capabilities, bandwidth });
    expect(await reconcile(source)).toEqual(expect.objectContaining({ mended: ["the guest paused"], problems: [] }));
    await expectGoesOn();
  });
});

describe.runIf(isRoot)("the capture hangs", () => {
  test("while the guest stands still: the watchdog lets it run", async () => {
    source = { ...source, maxPause: 2000 };
    const capture = startCapture({ step: "stop", stand: true });
    await standing(capture);
    await guest.ticks(20);
    capture.kill("SIGCONT");
    await ended(capture);
    await expectGoesOn();
  });
});

describe.runIf(isRoot)("the spool's writer", () => {
  test("is killed: the guest is rescued, the capture fails, and the next one succeeds", async () => {
    letWriterStand();
    const capture = startCapture();
    process.kill(await standingWriter(), "SIGKILL");
    expect((await ended(capture)).status).toBe(1);
    await expectGoesOn();
    fs.rmSync(path.join(programs, "cat"));
    expect((await ended(startCapture())).status).toBe(0);
  });

  test("hangs: the guest is rescued all the same, and the capture fails when the writer ends", async () => {
    letWriterStand();
    const capture = startCapture();
    const writer = await standingWriter();
    const count = guest.count();
    await waitFor("the guest to go on", () => guest.count() > count + 20);
    process.kill(writer, "SIGKILL");
    expect((await ended(capture)).status).toBe(1);
    await expectGoesOn();
  });
});

describe.runIf(isRoot)("QEMU is killed", () => {
  // At the last the disks are read; whether there is a recovery point depends on whether memory was saved by then.
  test.each<[string, readonly number[]]>([
    ["migrate", [1]],
    ["blockdev-add", [1]],
    ["qom-set", [1]],
    ["block-export-add", [1]],
    ["block-export-del", [0, 1]],
  ])("at %s: the capture ends with the status %j, and leaves no file and no process", async (command, statuses) => {
    const capture = startCapture({ step: command, stand: true });
    await standing(capture);
    guest.process.kill("SIGKILL");
    await once(guest.process, "exit");
    capture.kill("SIGCONT");
    expect(statuses).toContain((await ended(capture)).status);
    await watchdogGone();
    expect(fs.readdirSync(source.spool)).toEqual([]);
  });
});
