/** Makes what isn't a regular file, in a worker thread, and finishes folders and large files. */
import { linkSync, symlinkSync, unlinkSync } from "node:fs";
import { errnoOf } from "../host/files.ts";
import { makeNode, syscallsAvailable } from "../host/syscalls.ts";
import type { Task } from "../repository/threads/executor.ts";
import { type DirectoryEntry, targetOf } from "../repository/tree/directory-tree.ts";
import { type Lack, setAttributes } from "./set-attributes.ts";
import { targetFailure } from "./target-failure.ts";

export interface EntryToMake {
  readonly path: Uint8Array;
  readonly entry: DirectoryEntry;
  /** The file that it is another name of. */
  readonly linkTo?: Uint8Array | undefined;
}

/** For each, what could not be brought back. Folders and files must be there: they get their attributes. */
export const makeEntries: Task<readonly EntryToMake[], readonly (readonly Lack[])[]> = {
  name: "make-entries",
  async run(_context, entries) {
    return await Promise.resolve(entries.map(make));
  },
};

function make({ path: bytes, entry, linkTo }: EntryToMake): readonly Lack[] {
  const path = Buffer.from(bytes);
  try {
    if (linkTo !== undefined) return create("hard link", path, () => linkSync(Buffer.from(linkTo), path));
    const failed = isThere(entry)
      ? []
      : create(entry.type === "symlink" ? "symbolic link" : "device", path, () => makeSpecial(path, entry));
    return failed.length > 0 ? failed : setAttributes(path, entry);
  } catch (error) {
    throw targetFailure(path.toString(), error);
  }
}

function isThere(entry: DirectoryEntry): boolean {
  return entry.type === "directory" || entry.type === "file";
}

function makeSpecial(path: Buffer, entry: DirectoryEntry): void {
  if (entry.type === "symlink") {
    symlinkSync(targetOf(entry), path);
    return;
  }
  if (!syscallsAvailable()) throw Object.assign(new Error("mknod"), { code: "ENOSYS", syscall: "mknod" });
  const type = specialTypes[entry.type];
  if (type !== undefined) makeNode(path, type | 0o600, deviceOf(entry.device ?? [0, 0]));
}

/** Type bits of `Stats.mode`. A socket is a name without a listener, as after a reboot: whatever made it makes it anew. */
const specialTypes: Readonly<Partial<Record<DirectoryEntry["type"], number>>> = {
  fifo: 0o010000,
  socket: 0o140000,
  chardev: 0o020000,
  blockdev: 0o060000,
};

/** What a restore cut off has left is made anew. */
function create(what: Lack, path: Buffer, work: () => void): Lack[] {
  try {
    try {
      work();
    } catch (error) {
      if (errnoOf(error) !== "EEXIST") throw error;
      unlinkSync(path);
      work();
    }
    return [];
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === undefined || errno === "ENOSPC" || errno === "EDQUOT") throw error;
    return [what];
  }
}

/** As glibc's gnu_dev_makedev(3). */
function deviceOf([major, minor]: readonly [number, number]): bigint {
  const [high, low] = [BigInt(major), BigInt(minor)];
  return ((high & 0xfffff000n) << 32n) | ((high & 0xfffn) << 8n) | ((low & 0xffffff00n) << 12n) | (low & 0xffn);
}
