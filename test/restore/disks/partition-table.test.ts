import { crc32 } from "node:zlib";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { DiskBytes } from "../../../src/restore/disks/disk-bytes.ts";
import { readPartitions } from "../../../src/restore/disks/partition-table.ts";
import { makeGpt, makeMbr } from "../../helpers/partition-tables.ts";

function diskOf(content: Buffer): DiskBytes {
  return {
    size: content.length,
    read: async (offset, length) => {
      if (offset < 0 || length < 0 || offset + length > content.length) throw new Error("outside of the disk");
      return await Promise.resolve(content.subarray(offset, offset + length));
    },
  };
}

const mib = 1024 * 1024;

describe("MBR", () => {
  it("names primary partitions by their place in the table", async () => {
    const disk = Buffer.alloc(8 * mib);
    makeMbr(disk, 0, [
      undefined,
      { type: 0x83, offset: mib, size: 2 * mib },
      undefined,
      { type: 0xef, offset: 4 * mib, size: mib },
    ]);
    expect(await readPartitions(diskOf(disk))).toEqual([
      { number: 2, offset: mib, size: 2 * mib },
      { number: 4, offset: 4 * mib, size: mib },
    ]);
  });

  it("follows logical partitions, relative to their tables", async () => {
    const disk = Buffer.alloc(16 * mib);
    makeMbr(disk, 0, [
      { type: 0x83, offset: mib, size: mib },
      { type: 0x05, offset: 2 * mib, size: 14 * mib },
    ]);
    makeMbr(disk, 2 * mib, [
      { type: 0x83, offset: mib, size: mib },
      { type: 0x05, offset: 4 * mib, size: 4 * mib },
    ]);
    makeMbr(disk, 6 * mib, [{ type: 0x83, offset: mib, size: 2 * mib }]);
    expect(await readPartitions(diskOf(disk))).toEqual([
      { number: 1, offset: mib, size: mib },
      { number: 5, offset: 3 * mib, size: mib },
      { number: 6, offset: 7 * mib, size: 2 * mib },
    ]);
  });

  it("that leads in a circle ends", async () => {
    const disk = Buffer.alloc(16 * mib);
    makeMbr(disk, 0, [{ type: 0x05, offset: 2 * mib, size: 14 * mib }]);
    makeMbr(disk, 2 * mib, [
      { type: 0x83, offset: mib, size: mib },
      { type: 0x05, offset: 4 * mib, size: 4 * mib },
    ]);
    makeMbr(disk, 6 * mib, [
      { type: 0x83, offset: mib, size: mib },
      { type: 0x05, offset: 0, size: 4 * mib },
    ]);
    expect((await readPartitions(diskOf(disk)))?.map(({ number }) => number)).toEqual([5, 6]);
  });

  it("is not what a boot sector of a file system looks like", async () => {
    const disk = Buffer.alloc(mib, "not a table, but code ");
    disk.writeUInt16LE(0xaa55, 510);
    expect(await readPartitions(diskOf(disk))).toBeUndefined();
    disk.fill(0, 440, 510);
    expect(await readPartitions(diskOf(disk))).toBeUndefined();
  });
});

describe("GPT", () => {
  const partitions = [{ offset: mib, size: 2 * mib }, undefined, { offset: 4 * mib, size: mib }];
  const expected = [
    { number: 1, offset: mib, size: 2 * mib },
    { number: 3, offset: 4 * mib, size: mib },
  ];

  it.each([512, 4096])("is read, with sectors of %i bytes", async (unit) => {
    const disk = Buffer.alloc(8 * mib);
    makeGpt(disk, partitions, unit);
    expect(await readPartitions(diskOf(disk))).toEqual(expected);
  });

  it("is taken from its copy when it is damaged", async () => {
    const disk = Buffer.alloc(8 * mib);
    makeGpt(disk, partitions);
    disk.writeUInt8(disk.readUInt8(2 * 512 + 40) ^ 1, 2 * 512 + 40);
    expect(await readPartitions(diskOf(disk))).toEqual(expected);
    disk.fill(0, 512, 1024);
    expect(await readPartitions(diskOf(disk))).toEqual(expected);
    disk.fill(0, disk.length - 512);
    // What is left is the protective entry for all of the disk.
    expect((await readPartitions(diskOf(disk)))?.length).toBe(1);
  });

  it("with absurd numbers, correctly summed, is nothing to wait for", async () => {
    for (const [at, value] of [
      [80, 0xffff_ffff],
      [84, 0xffff_fff0],
      [12, 0xffff_ffff],
      [76, 0xffff_ffff],
    ] as const) {
      const disk = Buffer.alloc(8 * mib);
      makeGpt(disk, partitions);
      disk.fill(0, disk.length - 512);
      disk.writeUInt32LE(value, 512 + at);
      disk.writeUInt32LE(0, 512 + 16);
      disk.writeUInt32LE(crc32(disk.subarray(512, 512 + 92)), 512 + 16);
      expect((await readPartitions(diskOf(disk)))?.length).toBe(1);
    }
  });
});

it("whatever a disk holds, partitions are on it, and nothing is thrown", async () => {
  const disk = fc
    .tuple(
      fc.integer({ min: 0, max: 64 }),
      fc.array(fc.tuple(fc.nat(4095), fc.nat(255)), { maxLength: 60 }),
      fc.boolean(),
    )
    .map(([sectors, bytes, gpt]) => {
      const content = Buffer.alloc(sectors * 512 + 100);
      if (content.length > 40 * 512) (gpt ? makeGpt : makeTwo)(content);
      for (const [at, value] of bytes) if (at < content.length) content.writeUInt8(value, at);
      if (content.length >= 512) content.writeUInt16LE(0xaa55, 510);
      return content;
    });
  await fc.assert(
    fc.asyncProperty(disk, async (content) => {
      for (const { offset, size, number } of (await readPartitions(diskOf(content))) ?? []) {
        expect(number).toBeGreaterThan(0);
        expect(offset).toBeGreaterThan(0);
        expect(size).toBeGreaterThan(0);
        expect(offset + size).toBeLessThanOrEqual(content.length);
      }
    }),
    { numRuns: 500 },
  );
});

function makeTwo(disk: Buffer): void {
  makeMbr(disk, 0, [
    { type: 0x83, offset: 512, size: 512 },
    { type: 0x0f, offset: 2048, size: 8192 },
  ]);
  makeMbr(disk, 2048, [
    { type: 0x83, offset: 512, size: 512 },
    { type: 0x05, offset: 1024, size: 1024 },
  ]);
}
