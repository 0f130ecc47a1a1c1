/**
 * The process at the other end of a QMP socket, found in /proc (proc(5)) without taking the one connection that the socket
 * has to give.
 */

import type { BigIntStats } from "node:fs";
import * as fs from "node:fs/promises";
import * as path from "node:path";
import { StillpointError } from "../errors.ts";
import { listenerOf } from "./syscalls.ts";

export interface QemuProcess {
  readonly pid: number;
  /** The command line, the program first. */
  readonly command: readonly string[];
  /** Where relative paths of the command line begin, as far as it can be known: a daemon has left its folder for `/`. */
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
  const place = await fs.realpath(socketPath);
  const holders = await findHolders(place, socket);
  const certain = holders.filter(({ same }) => same);
  const one = certain.length === 1 ? certain[0] : ask(place, holders);
  const process = one && (await describeProcess(one.pid));
  if (process) return one.folder === undefined ? process : { ...process, folder: one.folder };
  if (holders.length === 0) throw unknown(socketPath, "no process that this user may look into listens there");
  const pids = holders.map(({ pid }) => pid).join(", ");
  throw unknown(socketPath, `it can't be told which of the processes ${pids} listens there`);
}

/**
 * The holder that made the socket listen. It takes a connection for a moment, so it is asked only where /proc leaves a doubt:
 * two processes bound the same path one after the other, say.
 */
function ask(place: string, holders: readonly Holder[]): Holder | undefined {
  const pid = holders.length === 0 ? undefined : listenerOf(place);
  return holders.find((holder) => holder.pid === pid);
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

/** The fields of /proc/PID/stat from the third (the state) on; the second is a name in which anything may stand. */
async function statFields(pid: number): Promise<string[]> {
  const text = await fs.readFile(`/proc/${String(pid)}/stat`, "utf8");
  return text.slice(text.lastIndexOf(")") + 2).split(" ");
}

async function processes(): Promise<number[]> {
  return (await fs.readdir("/proc")).filter((name) => /^[0-9]+$/.test(name)).map(Number);
}

/** A process that holds a listening socket which may be ours. */
interface Holder {
  readonly pid: number;
  /** Whether its path leads it to the very same file. */
  readonly same: boolean;
  /** Where the path began when the socket was bound, if the process has left that folder since, as daemons do. */
  readonly folder?: string;
}

/** The paths at which the process listens, as it gave them to bind(2); none when it has ended. */
export async function listeningPaths(pid: number): Promise<string[]> {
  return await boundPaths(pid, new ListeningSockets()).catch(() => []);
}

async function findHolders(place: string, socket: BigIntStats): Promise<Holder[]> {
  const listening = new ListeningSockets();
  const found: Holder[] = [];
  for (const pid of await processes()) {
    try {
      for (const bound of await boundPaths(pid, listening)) {
        const holder = await compare(pid, bound, place, socket);
        if (holder) found.push(holder);
      }
    } catch {
      // It has ended, or belongs to somebody else.
    }
  }
  return found;
}

async function boundPaths(pid: number, listening: ListeningSockets): Promise<string[]> {
  const paths = await listening.of(pid);
  const folder = `/proc/${String(pid)}/fd`;
  const links = (await fs.readdir(folder)).map(async (fd) => await fs.readlink(`${folder}/${fd}`).catch(() => ""));
  const inodes = (await Promise.all(links)).map((link) => /^socket:\[([0-9]+)\]$/.exec(link)?.[1] ?? "");
  return inodes.map((inode) => paths.get(inode)).filter((bound) => bound !== undefined);
}

async function compare(pid: number, bound: string, place: string, socket: BigIntStats): Promise<Holder | undefined> {
  const own = `/proc/${String(pid)}`;
  const seen = path.isAbsolute(bound) ? `${own}/root${bound}` : `${own}/cwd/${bound}`;
  const stats = await fs.stat(seen, { bigint: true }).catch(() => undefined);
  if (stats?.ino === socket.ino && stats.dev === socket.dev) return { pid, same: true };
  const tail = `/${path.normalize(bound)}`;
  if (path.isAbsolute(bound) || !place.endsWith(tail)) return undefined;
  return { pid, same: false, folder: place.slice(0, -tail.length) || "/" };
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
