/** Entries of a directory tree, made from what the system says. Their members always stand in the same order, so that equal folders are equal blobs. */
import type { BigIntStats, Stats } from "node:fs";
import { type DirectoryEntry, encodeText } from "../../repository/tree/directory-tree.ts";

export type EntryType = DirectoryEntry["type"];

const types: Readonly<Record<number, EntryType>> = {
  0o100000: "file",
  0o040000: "directory",
  0o120000: "symlink",
  0o010000: "fifo",
  0o140000: "socket",
  0o020000: "chardev",
  0o060000: "blockdev",
};

export function typeOf(stats: Stats): EntryType | undefined {
  return types[stats.mode & 0o170000];
}

/** What an entry has besides its name and what `stat` says. */
export interface Details {
  readonly link?: string | undefined;
  /** A file's content. */
  readonly content?: FileContent | undefined;
  readonly tree?: string | undefined;
  readonly target?: Buffer | undefined;
  readonly xattrs?: Readonly<Record<string, string>> | undefined;
}

export interface FileContent {
  readonly size: number;
  readonly depth: number;
  readonly root: string;
  readonly sparse: boolean;
}

/** An entry; without `name` that of the source's own folder. */
export function makeEntry(
  name: Buffer | undefined,
  type: EntryType,
  stats: BigIntStats,
  details: Details,
): DirectoryEntry {
  const { link, content, tree, target, xattrs } = details;
  const isDevice = type === "chardev" || type === "blockdev";
  return {
    ...(name !== undefined && encodeText("name", name)),
    type,
    mode: Number(stats.mode) & 0o7777,
    uid: Number(stats.uid),
    gid: Number(stats.gid),
    mtime: formatTime(stats.mtimeNs),
    ctime: formatTime(stats.ctimeNs),
    inode: String(stats.ino),
    ...(link !== undefined && { link }),
    ...(content !== undefined && { size: content.size, depth: content.depth, root: content.root }),
    ...(content?.sparse === true && { sparse: true as const }),
    ...(tree !== undefined && { tree }),
    ...(target !== undefined && encodeText("target", target)),
    ...(isDevice && { device: deviceNumbers(stats.rdev) }),
    ...(xattrs !== undefined && Object.keys(xattrs).length > 0 && { xattrs }),
  };
}

/** An entry that was made without its name. */
export function nameEntry(name: Uint8Array, entry: DirectoryEntry): DirectoryEntry {
  return { ...encodeText("name", Buffer.from(name)), ...entry };
}

/** Entries of one point with the same string are one file. Devices have other numbers after a reboot, so only a foreign one is named. */
export function linkOf(stats: BigIntStats, device: bigint): string | undefined {
  if (stats.nlink <= 1n) return undefined;
  return stats.dev === device ? String(stats.ino) : `${String(stats.dev)}:${String(stats.ino)}`;
}

/** `"1763811234.123456789"`; see docs/format.md section 8 for times before the epoch. */
function formatTime(ns: bigint): string {
  const magnitude = ns < 0n ? -ns : ns;
  const fraction = String(magnitude % 1_000_000_000n).padStart(9, "0");
  return `${ns < 0n ? "-" : ""}${String(magnitude / 1_000_000_000n)}.${fraction}`;
}

/**
 * Whether something is what the entry says. A change of anything else (its mode, owner, links, attributes) changes `ctime`.
 * Times are compared to a quarter of a microsecond, see `stampOf`.
 */
export function isUnchanged(entry: DirectoryEntry, type: EntryType, stats: Stats): boolean {
  return (
    entry.type === type &&
    (type !== "file" || entry.size === stats.size) &&
    Number(entry.inode) === stats.ino &&
    milliseconds(entry.ctime) === stats.ctimeMs &&
    milliseconds(entry.mtime) === stats.mtimeMs
  );
}

/** As Node makes `ctimeMs` of what the kernel says, so that both can be compared. */
function milliseconds(time: string): number {
  const nanoseconds = Number(time.slice(-9));
  const seconds = Number(time.slice(0, -10));
  if (!time.startsWith("-")) return seconds * 1000 + nanoseconds / 1e6;
  // The kernel counts nanoseconds upwards from a whole second, before the epoch too.
  return nanoseconds === 0 ? seconds * 1000 : (seconds - 1) * 1000 + (1e9 - nanoseconds) / 1e6;
}

/** Major and minor as glibc's gnu_dev_major(3) and gnu_dev_minor(3) find them. */
function deviceNumbers(rdev: bigint): [number, number] {
  const major = ((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & 0xfffff000n);
  const minor = (rdev & 0xffn) | ((rdev >> 12n) & 0xffffff00n);
  return [Number(major), Number(minor)];
}
