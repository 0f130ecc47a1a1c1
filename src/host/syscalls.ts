/**
 * System calls that Node has no function for, by its foreign function interface (Node 26 and later; see
 * https://nodejs.org/api/ffi.html). Linux only.
 *
 * Paths and names of attributes are bytes: nothing says that a name is UTF-8. No function here follows a symbolic link at
 * the end of a path. All are synchronous, and throw errors with `code` (`ENODATA`, …) like those of node:fs.
 */

import * as os from "node:os";
import { lastError, openLibc, systemError } from "./libc.ts";

/** Whether this Node has what the other functions here need. */
export function syscallsAvailable(): boolean {
  return process.getBuiltinModule("node:ffi") !== undefined;
}

/** The names of all extended attributes that the process may see, such as `user.comment`. */
export function listXattrs(path: Buffer): Buffer[] {
  const length = libc().llistxattr(cString(path), scratch, BigInt(scratch.length));
  const list = filled(length, "llistxattr", path);
  const names: Buffer[] = [];
  for (let start = 0; start < list.length; ) {
    const end = list.indexOf(0, start);
    names.push(list.subarray(start, end));
    start = end + 1;
  }
  return names;
}

/** @throws `ENODATA` when there is no such attribute */
export function getXattr(path: Buffer, name: Buffer): Buffer {
  const length = libc().lgetxattr(cString(path), cString(name), scratch, BigInt(scratch.length));
  return filled(length, "lgetxattr", path);
}

/** Sets or replaces an attribute. */
export function setXattr(path: Buffer, name: Buffer, value: Buffer): void {
  check(libc().lsetxattr(cString(path), cString(name), value, BigInt(value.length), 0), "lsetxattr", path);
}

/** @throws `ENODATA` when there is no such attribute */
export function removeXattr(path: Buffer, name: Buffer): void {
  check(libc().lremovexattr(cString(path), cString(name)), "lremovexattr", path);
}

/** Sets the times of last access and modification, in ns since the epoch; they may be negative. */
export function setTimes(path: Buffer, accessed: bigint, modified: bigint): void {
  const timespecs = Buffer.alloc(32);
  for (const [index, time] of [accessed, modified].entries()) {
    const nanoseconds = ((time % billion) + billion) % billion;
    timespecs.writeBigInt64LE((time - nanoseconds) / billion, 16 * index);
    timespecs.writeBigInt64LE(nanoseconds, 16 * index + 8);
  }
  check(libc().utimensat(currentFolder, cString(path), timespecs, noFollow), "utimensat", path);
}

/**
 * Makes a device node, FIFO or socket.
 *
 * @param mode type and permissions, as `Stats.mode` has them; the umask applies
 * @param device as `Stats.rdev` has it; 0 for a FIFO or socket
 */
export function makeNode(path: Buffer, mode: number, device: bigint): void {
  check(libc().mknod(cString(path), mode, device), "mknod", path);
}

/** Where the first data at or after `offset` begins, or undefined when only a hole follows. Moves the file's position. */
export function seekData(fd: number, offset: number): number | undefined {
  return seek(fd, offset, 3);
}

/** Where the first hole at or after `offset` begins (the end of the file counts as one), or undefined at or past the end. */
export function seekHole(fd: number, offset: number): number | undefined {
  return seek(fd, offset, 4);
}

function seek(fd: number, offset: number, whence: number): number | undefined {
  const found = libc().lseek(fd, BigInt(offset), whence);
  if (found >= 0n) return Number(found);
  const error = lastError("lseek");
  if (error.code === "ENXIO") return undefined;
  throw error;
}

/**
 * Asks the kernel to begin reading these bytes (posix_fadvise(3), POSIX_FADV_WILLNEED) and returns at once: a synchronous
 * read of them later waits less, or not at all. Only advice: nothing happens where it can't be given.
 */
export function readAhead(fd: number, offset: number, length: number): void {
  if (syscallsAvailable()) libc().posix_fadvise(fd, BigInt(offset), BigInt(length), willNeed);
}

/** The size of an open block device, in bytes. */
export function blockDeviceSize(fd: number): number {
  const size = Buffer.alloc(8);
  check(libc().ioctl(fd, blkGetSize64, size), "ioctl");
  return Number(size.readBigUInt64LE());
}

// Numbers of Linux, the same on all 64-bit architectures that Node runs on, and little-endian as those are:
// include/uapi/linux/fcntl.h, fadvise.h and fs.h.
const currentFolder = -100;
const noFollow = 0x100;
const willNeed = 3;
const blkGetSize64 = 0x80081272n;
const billion = 1_000_000_000n;

function load() {
  const definitions = {
    llistxattr: { arguments: ["buffer", "buffer", "u64"], return: "i64" },
    lgetxattr: { arguments: ["buffer", "buffer", "buffer", "u64"], return: "i64" },
    lsetxattr: { arguments: ["buffer", "buffer", "buffer", "u64", "i32"], return: "i32" },
    lremovexattr: { arguments: ["buffer", "buffer"], return: "i32" },
    utimensat: { arguments: ["i32", "buffer", "buffer", "i32"], return: "i32" },
    mknod: { arguments: ["buffer", "u32", "u64"], return: "i32" },
    lseek: { arguments: ["i32", "i64", "i32"], return: "i64" },
    posix_fadvise: { arguments: ["i32", "i64", "i64", "i32"], return: "i32" },
    ioctl: { arguments: ["i32", "u64", "buffer"], return: "i32" },
  } as const;
  return openLibc(definitions, "read and write all attributes of files");
}

let loaded: ReturnType<typeof load> | undefined;

function libc(): ReturnType<typeof load> {
  loaded ??= load();
  return loaded;
}

/** Bytes as C wants them. A null byte within would silently name another file. */
function cString(bytes: Buffer): Buffer {
  if (bytes.includes(0)) throw systemError("EINVAL", os.constants.errno.EINVAL, "path", bytes);
  const terminated = Buffer.alloc(bytes.length + 1);
  bytes.copy(terminated);
  return terminated;
}

/** A value, and a list of names, has at most 64 KiB (XATTR_SIZE_MAX and XATTR_LIST_MAX of include/uapi/linux/limits.h). */
const scratch = Buffer.alloc(64 * 1024);

function filled(length: bigint, syscall: string, path: Buffer): Buffer {
  if (length < 0n) throw lastError(syscall, path);
  return Buffer.from(scratch.subarray(0, Number(length)));
}

function check(result: number, syscall: string, path?: Buffer): void {
  if (result < 0) throw lastError(syscall, path);
}
