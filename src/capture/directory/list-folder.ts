/** What is in a folder just now, and a fingerprint of it that any change alters. */
import { lstatSync, readdirSync, type Stats } from "node:fs";
import { constants } from "node:os";
import { errnoOf } from "../../host/files.ts";
import { sha256 } from "../../repository/keys/key-ring.ts";
import type { Filter } from "./exclude.ts";

export interface ListedItem {
  readonly name: Buffer;
  readonly path: Buffer;
  /** Or the errno's name, when even that can't be had. */
  readonly stats: Stats | string;
}

/** A folder to look at: where it is for the system, and relative to the source (empty for the source's own folder). */
export interface FolderPlace {
  readonly path: Uint8Array;
  readonly relative: string;
}

const { errno } = constants;
const slash = Buffer.from("/");

export function joinPath(folder: Uint8Array, name: Uint8Array): Buffer {
  return Buffer.concat([folder, slash, name]);
}

/** A path relative to the source, for patterns and messages. */
function joinRelative(folder: string, name: Buffer): string {
  return folder === "" ? name.toString() : `${folder}/${name.toString()}`;
}

/**
 * Everything in a folder but what is excluded, in ascending order of the names' bytes. Something that goes away between
 * the listing and the look at it is left out.
 *
 * @throws the system's error when the folder can't be read
 */
export function listFolder(folder: FolderPlace, exclude: Filter): ListedItem[] {
  const names = readdirSync(Buffer.from(folder.path), { encoding: "buffer" }).toSorted((a, b) => a.compare(b));
  const items: ListedItem[] = [];
  for (const name of names) {
    const path = joinPath(folder.path, name);
    const stats = look(path);
    const isFolder = typeof stats !== "string" && stats.isDirectory();
    if (stats !== "ENOENT" && !exclude(joinRelative(folder.relative, name), isFolder))
      items.push({ name, path, stats });
  }
  return items;
}

function look(path: Buffer): Stats | string {
  try {
    return lstatSync(path);
  } catch (error) {
    return errnoOf(error) ?? "EIO";
  }
}

/** 16 bytes (as Latin-1) that differ when anything in the folder was added, removed or changed. Times of last access don't count. */
export function fingerprint(items: readonly ListedItem[]): string {
  const length = items.reduce((sum, { name }) => sum + name.length + stamp.length, 0);
  const content = Buffer.allocUnsafe(length);
  let at = 0;
  for (const { name, stats } of items) {
    content.set(name, at);
    content.set(stampOf(stats), at + name.length);
    at += name.length + stamp.length;
  }
  return sha256(content).toString("latin1", 0, 16);
}

/** The last stamp made: a zero, which no name holds, and ten numbers. */
const stamp = Buffer.from(new ArrayBuffer(8 + 8 * 10));
const numbers = new Float64Array(stamp.buffer, stamp.byteOffset + 8, 10);

/**
 * What differs when the thing itself was changed, until the next call. Times count to a quarter of a microsecond, as closely
 * as ordinary numbers can tell: those of every nanosecond take several times the work.
 */
function stampOf(stats: Stats | string): Buffer {
  numbers.fill(0);
  if (typeof stats === "string") {
    numbers[9] = errno[stats as keyof typeof errno] ?? -1;
    return stamp;
  }
  numbers[0] = stats.dev;
  numbers[1] = stats.ino;
  numbers[2] = stats.mode;
  // The links of a folder are the folders in it, and those are looked at themselves.
  numbers[3] = stats.isDirectory() ? 0 : stats.nlink;
  numbers[4] = stats.uid;
  numbers[5] = stats.gid;
  numbers[6] = stats.size;
  numbers[7] = stats.mtimeMs;
  numbers[8] = stats.ctimeMs;
  return stamp;
}
