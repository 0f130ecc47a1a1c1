/** What the counter guest (counter.S) wrote, and whether copies of its memory and disks can be of one instant. */
import * as fs from "node:fs";

export interface CounterSettings {
  /** Pages of memory that it writes to, and sectors of each disk's log: powers of two. */
  readonly pages: number;
  readonly sectors: number;
}

export const defaultSettings: CounterSettings = { pages: 1024, sectors: 256 };

export interface CounterRecord {
  readonly count: number;
  /** For each disk, the last count whose writes to it the guest knows to be done. */
  readonly done: readonly number[];
}

const recordAddress = 0x7e00;
const pagesAddress = 0x20_0000;
const pagesPerTick = 16;
const sector = 512;
const logSector = 16;

/** @param file an image of the guest's memory (the RAM block `pc.ram`) */
export function readMemoryRecord(file: string): CounterRecord {
  return parseRecord(readAt(file, recordAddress, sector)) ?? missing(file);
}

/** @param file a disk as the guest sees it: raw */
export function readDiskRecord(file: string): CounterRecord {
  return parseRecord(readAt(file, sector, sector)) ?? missing(file);
}

/** The last count that the guest printed as a whole, or 0. */
export function readSerialCount(file: string): number {
  const text = fs.existsSync(file) ? fs.readFileSync(file, "latin1") : "";
  const lines = text.slice(0, text.lastIndexOf("\n") + 1).match(/^[0-9A-F]{8}$/gm);
  return Number.parseInt(lines?.at(-1) ?? "0", 16);
}

export interface Copies {
  /** An image of `pc.ram`; without one, the disks are compared with each other. */
  readonly memory?: string | undefined;
  /** Raw, in the order of the guest's drives. */
  readonly disks: readonly string[];
  readonly settings?: CounterSettings | undefined;
  /** The count with which the guest began when it was last started cold: its memory knows nothing of earlier ones. */
  readonly since?: number | undefined;
}

/** Why the copies can't be of one instant; nothing when they can. */
export function contradictions(copies: Copies): string[] {
  const { memory, disks, settings = defaultSettings, since = 0 } = copies;
  const found: string[] = [];
  if (memory === undefined) {
    const counts = disks.map((disk) => readDiskRecord(disk).count);
    for (const [number, disk] of disks.entries())
      found.push(...judgeLog(disk, settings, counts[number] ?? 0, "either"));
    if (!descends(counts)) found.push(`the disks are at ${counts.join(", ")}`);
    return found;
  }
  const { count, done } = readMemoryRecord(memory);
  const known = done.slice(0, disks.length);
  if (!descends([count, ...known]))
    found.push(`memory is at ${String(count)}, but knows of ${known.join(", ")} on the disks`);
  found.push(...judgePages(memory, settings, count, since));
  for (const [number, disk] of disks.entries()) {
    const complete = known[number] === count;
    const on = readDiskRecord(disk).count;
    if (on !== count && (complete || on !== count - 1)) {
      found.push(
        `memory is at ${String(count)}, disk ${String(number)} at ${String(on)}${complete ? ", said to be done" : ""}`,
      );
    }
    found.push(...judgeLog(disk, settings, on, complete ? "written" : "either"));
  }
  return found;
}

/** Whether each is as high as the one before, and the last at most one lower than the first. */
function descends(counts: readonly number[]): boolean {
  const inOrder = counts.every((count, index) => index === 0 || count <= (counts[index - 1] ?? 0));
  return inOrder && (counts[0] ?? 0) - (counts.at(-1) ?? 0) <= 1;
}

function judgePages(file: string, { pages }: CounterSettings, count: number, since: number): string[] {
  const memory = fs.readFileSync(file);
  const found: string[] = [];
  const round = pages / pagesPerTick;
  for (let page = 0; page < pages; page += 1) {
    const value = memory.readUInt32LE(pagesAddress + page * 4096);
    const wanted = newest(count, Math.floor(page / pagesPerTick), round);
    const written = wanted > since ? wanted : 0;
    const before = wanted - round > since ? wanted - round : 0;
    if (value === written || (wanted === count && value === before)) continue;
    found.push(`at ${String(count)}, page ${String(page)} holds ${String(value)} instead of ${String(written)}`);
  }
  return found;
}

/** @param last whether the log's entry of the newest count must be there, or may be on its way still */
function judgeLog(file: string, settings: CounterSettings, count: number, last: "written" | "either"): string[] {
  const { sectors } = settings;
  const log = readAt(file, logSector * sector, sectors * sector);
  const found: string[] = [];
  for (let number = 0; number < sectors; number += 1) {
    const value = parseRecord(log.subarray(number * sector, (number + 1) * sector))?.count ?? 0;
    const wanted = newest(count, number, sectors);
    if (value === wanted || (wanted === count && last === "either" && value === Math.max(0, wanted - sectors)))
      continue;
    found.push(
      `${file}: at ${String(count)}, log sector ${String(number)} holds ${String(value)} instead of ${String(wanted)}`,
    );
  }
  return found;
}

/** The newest tick up to `count` that leaves `remainder` in rounds of `round`; 0 when there was none. */
function newest(count: number, remainder: number, round: number): number {
  return Math.max(0, count - ((((count - remainder) % round) + round) % round));
}

function parseRecord(bytes: Buffer): CounterRecord | undefined {
  if (bytes.toString("latin1", 0, 8) !== "STILLPNT") return undefined;
  return { count: bytes.readUInt32LE(8), done: [12, 16, 20, 24].map((at) => bytes.readUInt32LE(at)) };
}

function missing(file: string): never {
  throw new Error(`${file} has no record of the counter guest`);
}

function readAt(file: string, offset: number, length: number): Buffer {
  const fd = fs.openSync(file, "r");
  try {
    const buffer = Buffer.alloc(length);
    fs.readSync(fd, buffer, 0, length, offset);
    return buffer;
  } finally {
    fs.closeSync(fd);
  }
}
