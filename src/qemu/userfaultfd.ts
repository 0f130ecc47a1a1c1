/**
 * The write protection under which QEMU saves the memory of a running guest (its capability `background-snapshot`), from outside.
 *
 * QEMU before 10 leaves the protection in place when such a save fails or is cancelled. The guest's next write to a page that
 * was not saved yet then waits for ever, often with QEMU's global lock held: nothing answers any more, SIGTERM included. Only
 * taking the protection away from outside helps: see userfaultfd(2) and ioctl_userfaultfd(2) for the calls used here.
 */

import { closeSync } from "node:fs";
import * as fs from "node:fs/promises";
import { StillpointError } from "../errors.ts";
import { throwIfCancelled } from "../host/cancel.ts";
import { errnoOf } from "../host/files.ts";
import { control, copyDescriptor, openProcess } from "./syscalls.ts";

export interface Rescued {
  /** Mappings that were protected; 0 when nothing was: whatever ails the guest, it isn't this. */
  readonly ranges: number;
  readonly bytes: number;
}

interface Range {
  readonly start: bigint;
  readonly length: bigint;
}

/**
 * Takes the write protection off all memory of a QEMU, and wakes what waits for it. A save that is under way is spoiled by
 * that, and nothing else: it is safe for a guest that has nothing of the kind.
 *
 * @throws StillpointError `source_denied` without the right to trace the process, `vm_unreachable` when it has ended,
 * `vm_failed` when protection stays all the same
 */
export async function rescueGuest(pid: number, options: { readonly signal?: AbortSignal } = {}): Promise<Rescued> {
  const descriptors: number[] = [];
  try {
    const ranges = await protectedRanges(pid);
    if (ranges.length === 0) return { ranges: 0, bytes: 0 };
    descriptors.push(...(await copyUserfaultfds(pid)));
    release(ranges, descriptors, options.signal);
    // What QEMU has mapped anew meanwhile was not protected.
    const left = await protectedRanges(pid);
    if (left.length > 0) throw stillProtected(pid, left.length);
    return { ranges: ranges.length, bytes: Number(ranges.reduce((sum, { length }) => sum + length, 0n)) };
  } catch (error) {
    throw explain(pid, error);
  } finally {
    for (const fd of descriptors) closeSync(fd);
  }
}

/** The mappings with write protection by userfaultfd: the flag `uw` of smaps (proc(5)). */
async function protectedRanges(pid: number): Promise<Range[]> {
  const ranges: Range[] = [];
  let current: Range | undefined;
  for (const line of (await fs.readFile(`/proc/${String(pid)}/smaps`, "latin1")).split("\n")) {
    const [, from, to] = /^([0-9a-f]+)-([0-9a-f]+) /.exec(line) ?? [];
    if (from !== undefined && to !== undefined) {
      const start = BigInt(`0x${from}`);
      current = { start, length: BigInt(`0x${to}`) - start };
    } else if (current && line.startsWith("VmFlags:") && line.split(" ").includes("uw")) ranges.push(current);
  }
  return ranges;
}

async function copyUserfaultfds(pid: number): Promise<number[]> {
  const folder = `/proc/${String(pid)}/fd`;
  const copies: number[] = [];
  const process = openProcess(pid);
  try {
    for (const fd of await fs.readdir(folder)) {
      const link = await fs.readlink(`${folder}/${fd}`).catch(() => "");
      if (link === "anon_inode:[userfaultfd]") copies.push(copyDescriptor(process, Number(fd)));
    }
    return copies;
  } catch (error) {
    for (const fd of copies) closeSync(fd);
    throw error;
  } finally {
    closeSync(process);
  }
}

// _IOWR(0xaa, 6, struct uffdio_writeprotect) and _IOR(0xaa, 1, struct uffdio_range) of include/uapi/linux/userfaultfd.h
const writeProtect = 0xc018aa06n;
const unregister = 0x8010aa01n;

/** First all protection, since that alone wakes who waits; then the registrations, so that nothing is protected again. */
function release(ranges: readonly Range[], descriptors: readonly number[], signal: AbortSignal | undefined): void {
  for (const [request, size] of [
    [writeProtect, 24],
    [unregister, 16],
  ] as const) {
    for (const { start, length } of ranges) {
      throwIfCancelled(signal);
      const structure = Buffer.alloc(size);
      structure.writeBigUInt64LE(start, 0);
      structure.writeBigUInt64LE(length, 8);
      for (const fd of descriptors) controlOwn(fd, request, structure);
    }
  }
}

/** A range belongs to one of the descriptors; the others know nothing of it. */
function controlOwn(fd: number, request: bigint, structure: Buffer): void {
  try {
    control(fd, request, structure);
  } catch (error) {
    if (!["ENOENT", "EINVAL"].includes(errnoOf(error) ?? "")) throw error;
  }
}

function explain(pid: number, error: unknown): unknown {
  const code = errnoOf(error);
  const what = `Cannot take the write protection off the memory of QEMU (process ${String(pid)})`;
  if (code === "EPERM" || code === "EACCES") {
    return new StillpointError("source_denied", {
      what: `${what}: permission denied`,
      safe: "The guest's memory and disks are untouched; a guest that waits will go on where it is.",
      next: "Do it as root: `stillpoint rescue`, or the script tools/rescue-guest that comes with it.",
      cause: error,
    });
  }
  if (code !== "ESRCH" && code !== "ENOENT") return error;
  return new StillpointError("vm_unreachable", {
    what: `${what}: the process has ended`,
    next: "Start the virtual machine again.",
    cause: error,
  });
}

function stillProtected(pid: number, count: number): StillpointError {
  return new StillpointError("vm_failed", {
    what: `Cannot take the write protection off ${String(count)} mappings of QEMU (process ${String(pid)})`,
    safe: "The guest's memory and disks are untouched; a guest that waits will go on where it is.",
    next: "Another save may have begun at this moment: see what else uses the virtual machine, and try again.",
  });
}
