/**
 * The partitions of a disk: GPT (UEFI specification 2.10, chapter 5) and MBR with logical partitions. A table may say anything:
 * what isn't on the disk is left out, and nothing is followed for ever.
 */
import { crc32 } from "node:zlib";
import { type DiskBytes, readRange } from "./disk-bytes.ts";

export interface Partition {
  /** As Linux counts: of `sda3` it is 3. */
  readonly number: number;
  /** In bytes. */
  readonly offset: number;
  /** In bytes. */
  readonly size: number;
}

const sector = 512;
const protective = 0xee;
const extendedTypes: readonly number[] = [0x05, 0x0f, 0x85];

/** Logical partitions in a chain, and entries of a GPT, that are looked at. */
const mostPartitions = 256;

/** In ascending order of their numbers; undefined when the disk has no partition table. Throws what reading the disk throws. */
export async function readPartitions(disk: DiskBytes): Promise<readonly Partition[] | undefined> {
  const first = await readRange(disk, 0, sector);
  if (!isMbr(first)) return undefined;
  const entries = mbrEntries(first);
  if (entries.some(({ type }) => type === protective)) {
    const found = (await readGpt(disk, sector)) ?? (await readGpt(disk, 4096));
    if (found !== undefined) return onDisk(disk, found);
  }
  // A file system may begin with code and this signature too; its "partitions" are then of no sense.
  const plausible = entries.every(({ status, type, size }) => (status & 0x7f) === 0 && (type === 0) === (size === 0));
  const used = entries.filter(({ type }) => type !== 0);
  if (!plausible || used.length === 0) return undefined;
  const primary = used.filter(({ type }) => !extendedTypes.includes(type));
  const extended = used.find(({ type }) => extendedTypes.includes(type));
  const logical = extended === undefined ? [] : await readLogical(disk, extended.offset);
  return onDisk(disk, [...primary, ...logical]);
}

function onDisk(disk: DiskBytes, partitions: readonly Partition[]): Partition[] {
  return partitions
    .filter(({ offset, size }) => size > 0 && offset > 0 && offset < disk.size)
    .map(({ number, offset, size }) => ({ number, offset, size: Math.min(size, disk.size - offset) }))
    .toSorted((a, b) => a.number - b.number);
}

interface MbrEntry extends Partition {
  readonly status: number;
  readonly type: number;
}

function isMbr(bytes: Buffer): boolean {
  return bytes.length === sector && bytes.readUInt16LE(510) === 0xaa55;
}

function mbrEntries(bytes: Buffer): MbrEntry[] {
  return [1, 2, 3, 4].map((number) => {
    const at = 446 + 16 * (number - 1);
    return {
      number,
      status: bytes.readUInt8(at),
      type: bytes.readUInt8(at + 4),
      offset: bytes.readUInt32LE(at + 8) * sector,
      size: bytes.readUInt32LE(at + 12) * sector,
    };
  });
}

/** Each table of the chain names one partition, relative to itself, and the next table, relative to the first. */
async function readLogical(disk: DiskBytes, start: number): Promise<Partition[]> {
  const partitions: Partition[] = [];
  const seen = new Set<number>();
  for (let at = start; !seen.has(at) && seen.size < mostPartitions; ) {
    seen.add(at);
    const bytes = await readRange(disk, at, sector);
    if (!isMbr(bytes)) break;
    const entries = mbrEntries(bytes);
    const own = entries.find(({ type }) => type !== 0 && !extendedTypes.includes(type));
    if (own !== undefined) partitions.push({ number: 5 + partitions.length, offset: at + own.offset, size: own.size });
    const next = entries.find(({ type }) => extendedTypes.includes(type));
    if (next === undefined) break;
    at = start + next.offset;
  }
  return partitions;
}

/** By the first table, or by its copy at the end of the disk. */
async function readGpt(disk: DiskBytes, unit: number): Promise<Partition[] | undefined> {
  const last = Math.floor(disk.size / unit) - 1;
  return (await readGptAt(disk, unit, 1)) ?? (await readGptAt(disk, unit, last));
}

async function readGptAt(disk: DiskBytes, unit: number, block: number): Promise<Partition[] | undefined> {
  const header = await readRange(disk, block * unit, sector);
  if (header.length < sector || header.toString("latin1", 0, 8) !== "EFI PART") return undefined;
  const length = header.readUInt32LE(12);
  if (length < 92 || length > sector) return undefined;
  const sum = header.readUInt32LE(16);
  header.writeUInt32LE(0, 16);
  if (crc32(header.subarray(0, length)) !== sum) return undefined;
  const [count, entryLength] = [header.readUInt32LE(80), header.readUInt32LE(84)];
  const place = Number(header.readBigUInt64LE(72)) * unit;
  if (entryLength < 128 || entryLength > 4096 || count > mostPartitions || place >= disk.size) return undefined;
  const entries = await readRange(disk, place, count * entryLength);
  if (entries.length < count * entryLength || crc32(entries) !== header.readUInt32LE(88)) return undefined;
  const partitions: Partition[] = [];
  for (let number = 1; number <= count; number++) {
    const entry = entries.subarray((number - 1) * entryLength, number * entryLength);
    if (entry.subarray(0, 16).every((byte) => byte === 0)) continue;
    const [from, to] = [Number(entry.readBigUInt64LE(32)), Number(entry.readBigUInt64LE(40))];
    partitions.push({ number, offset: from * unit, size: (to - from + 1) * unit });
  }
  return partitions;
}
