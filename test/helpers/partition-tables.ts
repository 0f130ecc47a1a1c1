/** Partition tables, written onto disks in memory. */
import { crc32 } from "node:zlib";

export interface MadePartition {
  /** In bytes. */
  readonly offset: number;
  readonly size: number;
}

export function makeMbr(
  disk: Buffer,
  at: number,
  entries: readonly ((MadePartition & { type: number }) | undefined)[],
): void {
  for (const [position, entry] of entries.entries()) {
    if (entry === undefined) continue;
    const place = at + 446 + 16 * position;
    disk.writeUInt8(entry.type, place + 4);
    disk.writeUInt32LE(entry.offset / 512, place + 8);
    disk.writeUInt32LE(entry.size / 512, place + 12);
  }
  disk.writeUInt16LE(0xaa55, at + 510);
}

const type = Buffer.from("af3dc60f838472478e793d69d8477de4", "hex");
const count = 128;

/** With a protective MBR and a copy at the end. */
export function makeGpt(disk: Buffer, partitions: readonly (MadePartition | undefined)[] = [], unit = 512): void {
  const blocks = Math.floor(disk.length / unit);
  makeMbr(disk, 0, [{ type: 0xee, offset: 512, size: disk.length - 512 - (disk.length % 512) }]);
  const entries = Buffer.alloc(count * 128);
  for (const [position, partition] of partitions.entries()) {
    if (partition === undefined) continue;
    type.copy(entries, position * 128);
    entries.writeUInt32LE(position + 1, position * 128 + 16);
    entries.writeBigUInt64LE(BigInt(partition.offset / unit), position * 128 + 32);
    entries.writeBigUInt64LE(BigInt((partition.offset + partition.size) / unit - 1), position * 128 + 40);
  }
  const tail = blocks - 1 - Math.ceil(entries.length / unit);
  for (const [own, other, table] of [
    [1, blocks - 1, 2],
    [blocks - 1, 1, tail],
  ] as const) {
    if (table < 1 || table * unit + entries.length > disk.length) continue;
    entries.copy(disk, table * unit);
    const header = Buffer.alloc(92);
    header.write("EFI PART", "latin1");
    header.writeUInt32LE(0x1_0000, 8);
    header.writeUInt32LE(92, 12);
    header.writeBigUInt64LE(BigInt(own), 24);
    header.writeBigUInt64LE(BigInt(other), 32);
    header.writeBigUInt64LE(BigInt(table), 72);
    header.writeUInt32LE(count, 80);
    header.writeUInt32LE(128, 84);
    header.writeUInt32LE(crc32(entries), 88);
    header.writeUInt32LE(crc32(header), 16);
    header.copy(disk, own * unit);
  }
}
