/** What is in a folder just now, and a fingerprint of it that any change alters. */
import { lstatSync, readdirSync, type Stats } from "node:fs";
import { createHash } from "node:crypto";
import { errnoOf } from "../../host/files.ts";
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

/** 16 bytes that differ when anything in the folder was added, removed or changed. Times of last access don't count. */
export function fingerprint(items: readonly ListedItem[]): Buffer {
  const hash = createHash("sha256");
  for (const { name, stats } of items) {
    hash.update(name);
    hash.update(stampOf(stats));
  }
  return hash.digest().subarray(0, 16);
}

/**
 * What differs when the thing itself was changed; begins with a slash, which no name holds. Times count to a quarter of a
 * microsecond, as closely as ordinary numbers can tell: those of every nanosecond take several times the work.
 */
function stampOf(stats: Stats | string): Buffer {
  if (typeof stats === "string") return Buffer.from(`/${stats}`);
  const { dev, ino, mode, uid, gid, size, mtimeMs, ctimeMs } = stats;
  // The links of a folder are the folders in it, and those are looked at themselves.
  const numbers = [dev, ino, mode, stats.isDirectory() ? 0 : stats.nlink, uid, gid, size, mtimeMs, ctimeMs];
  const stamp = Buffer.allocUnsafe(1 + 8 * numbers.length);
  stamp[0] = 0x2f;
  for (const [position, number] of numbers.entries()) stamp.writeDoubleLE(number, 1 + 8 * position);
  return stamp;
}
