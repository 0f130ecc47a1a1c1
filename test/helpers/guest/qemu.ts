/** A real QEMU for a test, which never outlives it. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { setTimeout } from "node:timers/promises";

/** A running guest. Its QMP socket is free: the code under test is the one client that it can have. */
export interface Guest {
  /** Holds everything of the guest: disks, sockets, logs. */
  readonly folder: string;
  readonly pid: number;
  readonly process: ChildProcess;
  /** The command line, QEMU first. */
  readonly argv: readonly string[];
  /** Path of the QMP socket. */
  readonly qmp: string;
  /** Path of the file to which the first serial port writes. */
  readonly serial: string;
  /** Paths of the disks' images, the boot disk first. */
  readonly disks: readonly string[];
  /** Kills QEMU, and removes the folder unless the caller brought it. */
  stop(): Promise<void>;
}

export interface GuestFolder {
  readonly folder: string;
  /** Whether the folder was made here, and is removed at the end. */
  readonly own: boolean;
}

export function guestFolder(given: string | undefined): GuestFolder {
  const folder = given ?? fs.mkdtempSync(path.join(os.tmpdir(), "stillpoint-guest-"));
  if (given === undefined) folders.add(folder);
  return { folder, own: given === undefined };
}

const folders = new Set<string>();
const running = new Set<ChildProcess>();

// A guest that spins for ever would slow down every test after it.
process.once("exit", () => {
  for (const child of running) child.kill("SIGKILL");
  for (const folder of folders) fs.rmSync(folder, { recursive: true, force: true });
});

/** Another version than the system's can be tested by naming its program. */
const qemuBinary = process.env["STILLPOINT_TEST_QEMU"] ?? "/usr/bin/qemu-system-x86_64";

/** The major version of the QEMU that is tested. */
export function qemuMajor(): number {
  return Number(/version (\d+)/.exec(execFileSync(qemuBinary, ["--version"], { encoding: "utf8" }))?.[1]);
}

/** What every guest needs: no hardware virtualisation, no window, QMP and the serial port in its folder. */
export function commonArguments(folder: string): string[] {
  return [
    "-accel",
    "tcg",
    "-display",
    "none",
    "-no-user-config",
    "-nodefaults",
    "-qmp",
    `unix:${path.join(folder, "qmp")},server=on,wait=off`,
    // Appended: what a guest printed before QEMU was started anew stays.
    "-chardev",
    `file,id=serial,path=${path.join(folder, "serial")},append=on`,
    "-serial",
    "chardev:serial",
  ];
}

/** Starts QEMU and waits for its QMP socket. It dies with this process, however that ends. */
export async function startQemu(
  place: GuestFolder,
  args: readonly string[],
  disks: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<Guest> {
  const { folder } = place;
  const argv = [qemuBinary, ...args];
  const log = fs.openSync(path.join(folder, "qemu.log"), "a");
  const child = spawn("setpriv", ["--pdeathsig", "KILL", ...argv], {
    stdio: ["ignore", log, log],
    env: { ...process.env, ...environment },
  });
  fs.closeSync(log);
  running.add(child);
  child.once("exit", () => running.delete(child));
  const ended = once(child, "exit");
  const guest: Guest = {
    folder,
    pid: child.pid ?? 0,
    process: child,
    argv,
    qmp: path.join(folder, "qmp"),
    serial: path.join(folder, "serial"),
    disks,
    async stop() {
      child.kill("SIGKILL");
      await ended;
      if (!place.own) return;
      fs.rmSync(folder, { recursive: true, force: true });
      folders.delete(folder);
    },
  };
  await waitFor("QEMU's QMP socket", () => {
    if (child.exitCode !== null || child.signalCode !== null) {
      throw new Error(`QEMU ended at once: ${fs.readFileSync(path.join(folder, "qemu.log"), "utf8")}`);
    }
    return isListening(guest.qmp);
  });
  return guest;
}

/**
 * Seen in /proc: a connection would count as QMP's one client. The socket has its path a moment before it listens, which the flag
 * __SO_ACCEPTCON of include/uapi/linux/net.h tells.
 */
export function isListening(socket: string): boolean {
  const sockets = fs.readFileSync("/proc/net/unix", "utf8").split("\n");
  return sockets.some((line) => line.endsWith(` ${socket}`) && line.split(" ")[3] === "00010000");
}

/** Makes an image file; `content` is what it begins with. */
export function makeImage(file: string, format: "raw" | "qcow2", size: number, content?: Buffer): void {
  const raw = format === "raw" ? file : `${file}.raw`;
  fs.writeFileSync(raw, content ?? "");
  fs.truncateSync(raw, size);
  if (format === "raw") return;
  execFileSync("qemu-img", ["convert", "-f", "raw", "-O", format, raw, file]);
  fs.unlinkSync(raw);
}

/** Looks every 10 ms until `condition` holds; gives up after two minutes, since a test that hangs says nothing. */
export async function waitFor(
  what: string,
  condition: () => boolean | Promise<boolean>,
  limit = 120_000,
): Promise<void> {
  const until = performance.now() + limit;
  while (!(await condition())) {
    if (performance.now() > until) throw new Error(`waited ${String(limit / 1000)} s in vain for ${what}`);
    await setTimeout(10);
  }
}
