/**
 * The file that QEMU saves a machine's state to. A guest whose save fails may be frozen for ever (with QEMU 7.2), and it waits
 * for each page that the file is slow to take; so nothing of this process is in between, and the room is taken before the save.
 */
import { constants, type Stats } from "node:fs";
import { lstat, open, readdir, stat, unlink } from "node:fs/promises";
import * as path from "node:path";
import { describeError, StillpointError } from "../../../errors.ts";
import { errnoOf } from "../../../host/files.ts";
import { run } from "../../../host/process.ts";
import { randomBytes } from "../../../host/random.ts";
import { describeProcess, type QemuProcess } from "../../../qemu/qmp-peer.ts";

export interface SpoolOptions {
  /** Must exist. A tmpfs, or on a disk fast enough: see `spoolSize`. */
  readonly folder: string;
  /** In bytes. */
  readonly size: number;
  readonly process: Pick<QemuProcess, "pid" | "uid" | "gid" | "seccomp">;
  /** Of QEMU. */
  readonly version: { readonly major: number; readonly minor: number };
  readonly signal?: AbortSignal | undefined;
}

/** Room for a save of that many bytes of RAM, whatever is in it: pages have headers, and devices have state. */
export function spoolSize(ram: number): number {
  return Math.ceil((ram * 1.01) / 4096) * 4096 + 256 * 1024 * 1024;
}

export class Spool {
  readonly path: string;
  /** For QMP's `migrate`. */
  readonly uri: string;

  private constructor(place: string, uri: string) {
    this.path = place;
    this.uri = uri;
  }

  /**
   * Makes the file, with all its room, for QEMU's user alone; what captures that died have left in the folder is removed first.
   * Throws `vm_refused` when QEMU can't write there, `vm_failed` when there isn't enough room, `cancelled`.
   */
  static async reserve(options: SpoolOptions): Promise<Spool> {
    const folder = path.resolve(options.folder);
    await removeLeftSpools(folder);
    const uriOf = writer(options);
    const place = path.join(folder, await newName());
    try {
      await makeFile(place, options);
      await takeRoom(place, options);
      await requireReach(place, options.process);
    } catch (error) {
      await unlink(place).catch(() => undefined);
      throw error;
    }
    return new Spool(place, uriOf(place));
  }

  /** Removes the file; safe while QEMU still writes to it, and when repeated. */
  async release(): Promise<void> {
    await removeFile(this.path);
  }
}

const namePattern = /^\.stillpoint-spool-(\d+)-(\d+)-[0-9a-f]{16}$/;

/** Names the process that it belongs to, by number and start, so that it is known when that has died. */
async function newName(): Promise<string> {
  const own = await describeProcess(process.pid);
  return `.stillpoint-spool-${process.pid}-${own?.startTime ?? "0"}-${randomBytes(8).toString("hex")}`;
}

/** Removes the spools of processes that have ended, and returns how many they were. A save that still goes on isn't harmed. */
export async function removeLeftSpools(folder: string): Promise<number> {
  let removed = 0;
  for (const name of await readdir(folder).catch((error: unknown) => refuseFolder(folder, error))) {
    const [, pid, startTime] = namePattern.exec(name) ?? [];
    if (pid === undefined) continue;
    const owner = await describeProcess(Number(pid));
    if (owner !== undefined && owner.startTime === startTime) continue;
    await removeFile(path.join(folder, name));
    removed += 1;
  }
  return removed;
}

async function removeFile(place: string): Promise<void> {
  await unlink(place).catch((error: unknown) => {
    if (errnoOf(error) !== "ENOENT") throw error;
  });
}

/**
 * How QEMU is to write. By a program of its own where it may start one, which opens the file without making it shorter: the room
 * stays. QEMU's own way gives the room back first, so it is only right where a save that fails can't freeze the guest.
 */
function writer({ process: { seccomp }, version: { major, minor } }: SpoolOptions): (place: string) => string {
  if (!seccomp) return (place) => `exec:exec cat 1<>'${place.replaceAll("'", String.raw`'\''`)}'`;
  if (major >= 10) return (place) => `file:${place}`;
  throw new StillpointError("vm_refused", {
    what: `Cannot save the machine's state: QEMU ${major}.${minor} runs in a sandbox in which it can't start a program, and has no other safe way to write to a file`,
    safe: "Nothing was touched.",
    next: "Start it without `-sandbox`, use QEMU 10 or later, or set `memory: false`.",
  });
}

async function makeFile(place: string, { process: { uid, gid } }: SpoolOptions): Promise<void> {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  await using file = await open(place, flags, 0o600).catch((error: unknown) =>
    refuseFolder(path.dirname(place), error),
  );
  if (uid === process.geteuid?.()) return;
  try {
    await file.chown(uid, gid);
  } catch (cause) {
    throw new StillpointError("vm_refused", {
      what: `Cannot save the machine's state: QEMU runs as user ${uid}, and a file can't be given to it`,
      safe: "Nothing was touched.",
      next: "Run Stillpoint as root, or as that user.",
      cause,
    });
  }
}

/** By util-linux's program: it can take long, and Node has no such call. */
async function takeRoom(place: string, { size, signal }: SpoolOptions): Promise<void> {
  try {
    await run(["fallocate", "-l", String(size), place], { timeout: 600_000, signal, env: { LC_ALL: "C" } });
  } catch (cause) {
    if (signal?.aborted === true) throw cause;
    const words = describeError(cause);
    const full = words.includes("No space") || words.includes("quota");
    throw new StillpointError(full ? "vm_failed" : "vm_refused", {
      what: full
        ? `Cannot save the machine's state: ${path.dirname(place)} has no room for ${Math.ceil(size / 1048576)} MiB`
        : `Cannot save the machine's state: no room can be taken in ${path.dirname(place)} (${words})`,
      safe: "Nothing was touched.",
      next: "Name another folder as the source's `spool`: a tmpfs, or a fast disk with more room than the machine has RAM.",
      cause,
    });
  }
}

/** QEMU may see other files than we do, or not be let through a folder on the way. */
async function requireReach(place: string, peer: SpoolOptions["process"]): Promise<void> {
  for (let folder = path.dirname(place); ; folder = path.dirname(folder)) {
    if (!mayPass(await stat(folder), peer)) throw unreachable(`${folder} is closed to its user ${peer.uid}`, place);
    if (folder === path.dirname(folder)) break;
  }
  const own = await lstat(place);
  try {
    const seen = await lstat(path.join("/proc", String(peer.pid), "root", place));
    if (seen.ino === own.ino && seen.dev === own.dev) return;
  } catch (error) {
    // Without the right to look, QEMU itself will say.
    if (errnoOf(error) !== "ENOENT") return;
  }
  throw unreachable("it runs in a file system of its own", place);
}

/** Groups besides the process's own aren't known, so a folder open to any group counts as open. */
function mayPass({ mode, uid, gid }: Stats, peer: SpoolOptions["process"]): boolean {
  if (peer.uid === 0) return true;
  if (uid === peer.uid) return (mode & 0o100) !== 0;
  return (mode & (gid === peer.gid ? 0o010 : 0o011)) !== 0;
}

function unreachable(why: string, place: string): StillpointError {
  return new StillpointError("vm_refused", {
    what: `Cannot save the machine's state: QEMU can't get to ${path.dirname(place)}: ${why}`,
    safe: "Nothing was touched.",
    next: "Name a folder that it can get to as the source's `spool`.",
  });
}

function refuseFolder(folder: string, cause: unknown): never {
  const errno = errnoOf(cause);
  if (errno === undefined) throw cause;
  throw new StillpointError("vm_refused", {
    what: `Cannot save the machine's state: the folder ${folder} can't be used (${errno})`,
    safe: "Nothing was touched.",
    next: "Make it, or name another folder as the source's `spool`.",
    cause,
  });
}
