/** Inodes of ext2, ext3 and ext4 as debugfs prints their bytes (layout: Documentation/filesystems/ext4/inodes.rst of Linux). */
import { type DirectoryEntry, encodeText } from "../../repository/tree/directory-tree.ts";

/** A name in a folder, as `ls -p` of debugfs prints it. */
export interface ListedName {
  readonly name: Buffer;
  readonly inode: string;
  readonly mode: number;
}

/** `/inode/mode/uid/gid/name/size/`, a line each; a name may hold line breaks, and no slash. */
const line = /\/(\d+)\/([0-7]{6})\/-?\d+\/-?\d+\/([^/]*)\/-?\d*\/\n/gy;

/** Without `.` and `..`; undefined when it isn't such a list, which no honest file system makes debugfs print. */
export function parseNames(answer: Buffer): ListedName[] | undefined {
  const text = answer.toString("latin1");
  const names: ListedName[] = [];
  let end = 0;
  for (const [whole, inode = "", mode = "", name = ""] of text.matchAll(line)) {
    end += whole.length;
    if (inode === "0" || name === "" || name === "." || name === "..") continue;
    names.push({ name: Buffer.from(name, "latin1"), inode, mode: Number.parseInt(mode, 8) });
  }
  return text.slice(end).trim() === "" ? names : undefined;
}

/** Bytes of an inode that mean something here: 128 and what ext4 added. */
const wanted = 160;

/** The bytes that `idump` of debugfs prints, 16 in a line after their place in octal, `*` for lines like the one before. */
export function parseDump(answer: Buffer): Buffer | undefined {
  const bytes = Buffer.alloc(wanted);
  let last = Buffer.alloc(0);
  let end = 0;
  const put = (at: number): void => void last.copy(bytes, at);
  for (const row of answer.toString("latin1").split("\n")) {
    const [, place, hex] = /^([0-7]{4,}) {2}((?:[0-9a-f]{4} ){8})/.exec(row) ?? [];
    if (place === undefined || hex === undefined) continue;
    const at = Number.parseInt(place, 8);
    for (; end < at && end < wanted; end += 16) put(end);
    last = Buffer.from(hex.replaceAll(" ", ""), "hex");
    put(at);
    end = at + 16;
  }
  if (end === 0) return undefined;
  for (; end < wanted; end += 16) put(end);
  return bytes;
}

const types: Readonly<Record<number, DirectoryEntry["type"]>> = {
  0o01: "fifo",
  0o02: "chardev",
  0o04: "directory",
  0o06: "blockdev",
  0o10: "file",
  0o12: "symlink",
  0o14: "socket",
};

const extents = 0x8_0000;
const inlineData = 0x1000_0000;
const longestFastLink = 60;

/** As an entry of a directory tree would be. Its content isn't in it; a target is when it is short, as nearly all are. */
export function entryOf(name: Buffer, inode: string, bytes: Buffer): DirectoryEntry {
  const mode = bytes.readUInt16LE(0);
  const type = types[mode >> 12] ?? "file";
  const size = bytes.readUInt32LE(4) + bytes.readUInt32LE(108) * 2 ** 32;
  const plain = (bytes.readUInt32LE(32) & (extents | inlineData)) === 0;
  return {
    ...encodeText("name", name),
    type,
    mode: mode & 0o7777,
    uid: bytes.readUInt16LE(2) + bytes.readUInt16LE(120) * 2 ** 16,
    gid: bytes.readUInt16LE(24) + bytes.readUInt16LE(122) * 2 ** 16,
    mtime: timeOf(bytes, 16, 136),
    ctime: timeOf(bytes, 12, 132),
    inode,
    ...(type === "file" && { size }),
    ...(type === "symlink" && size < longestFastLink && plain && encodeText("target", bytes.subarray(40, 40 + size))),
    ...((type === "chardev" || type === "blockdev") && { device: deviceOf(bytes) }),
  };
}

/** The low bits of the second field are the high ones of the seconds, the others are nanoseconds, in ext4 with large inodes. */
function timeOf(bytes: Buffer, at: number, extra: number): string {
  const more = bytes.readUInt16LE(128) >= extra + 4 - 128 ? bytes.readUInt32LE(extra) : 0;
  const seconds = bytes.readInt32LE(at) + (more & 3) * 2 ** 32;
  const nanoseconds = Math.min(more >>> 2, 999_999_999);
  if (seconds >= 0 || nanoseconds === 0) return `${seconds}.${String(nanoseconds).padStart(9, "0")}`;
  // -2 s and 0.25 s are written as -1.75.
  const [whole, rest] = [seconds + 1, 1_000_000_000 - nanoseconds];
  return `${whole === 0 ? "-0" : whole}.${String(rest).padStart(9, "0")}`;
}

/** New numbers are in the second pointer, old ones in the first (new_decode_dev and old_decode_dev of Linux). */
function deviceOf(bytes: Buffer): [number, number] {
  const [old, fresh] = [bytes.readUInt32LE(40), bytes.readUInt32LE(44)];
  if (old !== 0) return [(old >> 8) & 0xff, old & 0xff];
  return [(fresh & 0xf_ff00) >> 8, (fresh & 0xff) | ((fresh >>> 12) & 0xf_ff00)];
}
