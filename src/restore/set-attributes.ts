/** Gives a restored file, folder, link or device the attributes of its entry, as far as the rights of this process go. */
import { chmodSync, lchownSync, lutimesSync } from "node:fs";
import { errnoOf } from "../host/files.ts";
import { listXattrs, removeXattr, setTimes, setXattr, syscallsAvailable } from "../host/syscalls.ts";
import type { DirectoryEntry } from "../repository/tree/directory-tree.ts";

/** What could not be brought back. */
export type Lack = "owner" | "mode" | "times" | "extended attributes" | "device" | "hard link" | "symbolic link";

type Attributes = Pick<DirectoryEntry, "type" | "mode" | "uid" | "gid" | "mtime" | "xattrs">;

/** A change of owner takes away capabilities and set-user-id, and everything changes times: hence the order. */
export function setAttributes(path: Buffer, entry: Attributes): Lack[] {
  const owned = attempt(() => lchownSync(path, entry.uid, entry.gid));
  const lacks: Lack[] = owned ? [] : ["owner"];
  if (!setXattrs(path, entry)) lacks.push("extended attributes");
  // With another owner than before, a set-user-id program would run with rights that nobody gave it.
  const mode = owned ? entry.mode : entry.mode & ~0o6000;
  if (entry.type !== "symlink" && !attempt(() => chmodSync(path, mode))) lacks.push("mode");
  if (!attempt(() => setModified(path, parseTime(entry.mtime)))) lacks.push("times");
  return lacks;
}

function setXattrs(path: Buffer, { xattrs, type }: Attributes): boolean {
  const wanted = Object.entries(xattrs ?? {});
  if (!syscallsAvailable()) return wanted.length === 0;
  let complete = true;
  for (const [name, value] of wanted) {
    const set = attempt(() => setXattr(path, Buffer.from(name), Buffer.from(value, "base64")));
    complete &&= set;
  }
  if (type === "symlink") return complete;
  // A default ACL of the folder above is inherited by what is made in it.
  for (const name of attemptList(path))
    if (xattrs?.[name] === undefined) attempt(() => removeXattr(path, Buffer.from(name)));
  return complete;
}

function attemptList(path: Buffer): readonly string[] {
  try {
    return listXattrs(path)
      .map(String)
      .filter((name) => name.startsWith("system.posix_acl_"));
  } catch {
    return [];
  }
}

/** Both times, that of access being worth nothing; without the system call only to the microsecond. */
function setModified(path: Buffer, ns: bigint): void {
  if (syscallsAvailable()) setTimes(path, ns, ns);
  else lutimesSync(path, Number(ns) / 1e9, Number(ns) / 1e9);
}

/** Nanoseconds from an entry's time (docs/format.md section 8). */
function parseTime(text: string): bigint {
  return BigInt(text.replace(".", ""));
}

/** Whether it worked. What isn't an error of the system is thrown on; so is a full disk, which nothing else would survive. */
function attempt(work: () => void): boolean {
  try {
    work();
    return true;
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === undefined || errno === "ENOSPC" || errno === "EDQUOT" || errno === "EROFS") throw error;
    return false;
  }
}
