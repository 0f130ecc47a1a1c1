/**
 * The process at the other end of a QMP socket, found in /proc (proc(5)) without taking the one connection that the socket
 * has to give.
 */

import type { BigIntStats } from "node:fs";
import * as fs from "node:fs/promises";
import * as path from "node:path";
import { StillpointError } from "../errors.ts";

export interface QemuProcess {
  readonly pid: number;
  /** The command line, the program first. */
  readonly command: readonly string[];
  /** Its working folder, where relative paths of the command line begin. */
  readonly folder: string;
  /** The user and group with whose rights it opens files. */
  readonly uid: number;
  readonly gid: number;
  /** Whether a filter of system calls is in force (QEMU's `-sandbox on`): it may not start other programs then. */
  readonly seccomp: boolean;
  /** In clock ticks since the host's start; with `pid`, it names one process for ever. */
  readonly startTime: string;
}

/**
 * Finds who listens on the socket. It is the holder of the listening socket that counts, not who made it: so it is right for
 * a QEMU that has put itself into the background, and for one that was given the socket by libvirt or systemd.
 *
 * @throws StillpointError `vm_unreachable` when nobody listens there, or this user can't see who does
 */
export async function findQemu(socketPath: string): Promise<QemuProcess> {
  const socket = await fs.stat(socketPath, { bigint: true }).catch(() => undefined);
  if (!socket) throw unknown(socketPath, "there is no such file");
  const listening = new ListeningSockets();
  const found: QemuProcess[] = [];
  for (const pid of await processes()) {
    if (!(await holds(pid, socket, listening))) continue;
    const process = await describeProcess(pid);
    if (process) found.push(process);
  }
  const [first, second] = found.toSorted((a, b) => Number(a.startTime) - Number(b.startTime));
  if (!first) throw unknown(socketPath, "no process that this user may look into listens there");
  // A child that QEMU has just started shares its sockets until it becomes another program.
  if (second && (await parentOf(second.pid)) !== first.pid) {
    throw unknown(socketPath, `processes ${String(first.pid)} and ${String(second.pid)} both listen at that path`);
  }
  return first;
}

/** What /proc says of a process, or undefined when it has ended. */
export async function describeProcess(pid: number): Promise<QemuProcess | undefined> {
  try {
    const of = (name: string): string => `/proc/${String(pid)}/${name}`;
    const status = await fs.readFile(of("status"), "utf8");
    const field = (name: string): string[] =>
      new RegExp(`^${name}:\\s*(.*)$`, "m").exec(status)?.[1]?.split("\t") ?? [];
    return {
      pid,
      command: (await fs.readFile(of("cmdline"), "utf8")).replace(/\0$/, "").split("\0"),
      folder: await fs.readlink(of("cwd")),
      // Real, effective, saved, and that of the file system.
      uid: Number(field("Uid")[3]),
      gid: Number(field("Gid")[3]),
      seccomp: field("Seccomp")[0] === "2",
      startTime: (await statFields(pid))[19] ?? "",
    };
  } catch {
    return undefined;
  }
}

/** Whether it is still the same process: numbers are given out again. */
export async function isAlive(process: Pick<QemuProcess, "pid" | "startTime">): Promise<boolean> {
  try {
    const [state, ...rest] = await statFields(process.pid);
    // A zombie has ended, and only waits for its parent to notice.
    return rest[18] === process.startTime && state !== "Z" && state !== "X";
  } catch {
    return false;
  }
}

async function parentOf(pid: number): Promise<number | undefined> {
  return Number((await statFields(pid).catch(() => []))[1]);
}

/** The fields of /proc/PID/stat from the third (the state) on; the second is a name in which anything may stand. */
async function statFields(pid: number): Promise<string[]> {
  const text = await fs.readFile(`/proc/${String(pid)}/stat`, "utf8");
  return text.slice(text.lastIndexOf(")") + 2).split(" ");
}

async function processes(): Promise<number[]> {
  return (await fs.readdir("/proc")).filter((name) => /^[0-9]+$/.test(name)).map(Number);
}

/** Whether the process has a listening socket whose path leads to the same file as ours, as the process sees it. */
async function holds(pid: number, socket: BigIntStats, listening: ListeningSockets): Promise<boolean> {
  const own = `/proc/${String(pid)}`;
  try {
    const paths = await listening.of(pid);
    for (const fd of await fs.readdir(`${own}/fd`)) {
      const link = await fs.readlink(`${own}/fd/${fd}`).catch(() => "");
      const bound = paths.get(/^socket:\[([0-9]+)\]$/.exec(link)?.[1] ?? "");
      if (bound === undefined) continue;
      const seen = path.isAbsolute(bound) ? `${own}/root${bound}` : `${own}/cwd/${bound}`;
      const stats = await fs.stat(seen, { bigint: true }).catch(() => undefined);
      if (stats?.ino === socket.ino && stats.dev === socket.dev) return true;
    }
  } catch {
    // It has ended, or belongs to somebody else.
  }
  return false;
}

/** The flag __SO_ACCEPTCON of include/uapi/linux/net.h: listening. */
const listeningFlags = "00010000";

/** The listening UNIX sockets of each network namespace: paths by inode, as they were given to bind(2). */
class ListeningSockets {
  readonly #known = new Map<string, ReadonlyMap<string, string>>();

  async of(pid: number): Promise<ReadonlyMap<string, string>> {
    const namespace = await fs.readlink(`/proc/${String(pid)}/ns/net`);
    const known =
      this.#known.get(namespace) ?? parseSockets(await fs.readFile(`/proc/${String(pid)}/net/unix`, "utf8"));
    this.#known.set(namespace, known);
    return known;
  }
}

function parseSockets(text: string): ReadonlyMap<string, string> {
  const paths = new Map<string, string>();
  for (const line of text.split("\n")) {
    const [, flags, inode, bound] = /^\S+ \S+ \S+ (\S+) \S+ \S+ +(\S+) (.+)$/.exec(line) ?? [];
    if (flags === listeningFlags && inode !== undefined && bound !== undefined) paths.set(inode, bound);
  }
  return paths;
}

function unknown(socketPath: string, why: string): StillpointError {
  return new StillpointError("vm_unreachable", {
    what: `Cannot find the QEMU behind ${socketPath}: ${why}`,
    safe: "The virtual machine was not touched.",
    next: "See that it runs, and that Stillpoint runs as root or as the same user.",
  });
}
