import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { entryOf, parseDump, parseNames } from "../../../src/restore/disks/ext-inode.ts";

describe("names in a folder", () => {
  it("may hold line breaks, and what looks like another line", () => {
    const text =
      "/2/040755/0/0/.//\n/2/040755/0/0/..//\n/13/100644/0/0/a\nb/1/\n/14/100644/7/8/x\n# 1 2\ndebugfs: y/1/\n\n";
    expect(parseNames(Buffer.from(text))?.map(({ name, inode }) => [name.toString(), inode])).toEqual([
      ["a\nb", "13"],
      ["x\n# 1 2\ndebugfs: y", "14"],
    ]);
  });

  it("with slashes, which no kernel makes, are found out", () => {
    expect(parseNames(Buffer.from("/13/100644/0/0/../../etc/passwd/1/\n"))).toBeUndefined();
    expect(parseNames(Buffer.from("\n"))).toEqual([]);
  });

  it("of any other bytes come back as they were", () => {
    const byte = fc.integer({ min: 1, max: 255 }).filter((value) => value !== 47);
    const name = fc.array(byte, { minLength: 1, maxLength: 20 }).map((bytes) => Buffer.from(bytes));
    fc.assert(
      fc.property(fc.array(name.filter((one) => ![".", ".."].includes(one.toString()))), (names) => {
        const lines = names.map((one, i) =>
          Buffer.concat([Buffer.from(`/${i + 1}/100644/0/0/`), one, Buffer.from("/5/\n")]),
        );
        expect(parseNames(Buffer.concat(lines))?.map((one) => one.name.toString("hex"))).toEqual(
          names.map((one) => one.toString("hex")),
        );
      }),
    );
  });
});

function dumped(bytes: Buffer): Buffer {
  const rows: string[] = [];
  let last = "";
  for (let at = 0; at < bytes.length; at += 16) {
    const hex = bytes.toString("hex", at, at + 16);
    if (hex === last) {
      if (rows.at(-1) !== "*") rows.push("*");
    } else rows.push(`${at.toString(8).padStart(4, "0")}  ${hex.replace(/(.{4})/g, "$1 ")} ................`);
    last = hex;
  }
  return Buffer.from(`${rows.join("\n")}\n\n`);
}

describe("an inode", () => {
  it("is what debugfs dumped, equal lines left out", () => {
    const row = fc.constantFrom(0, 1, 255).map((value) => Buffer.alloc(16, value));
    fc.assert(
      fc.property(fc.array(row, { minLength: 16, maxLength: 16 }), (rows) => {
        const bytes = Buffer.concat(rows);
        expect(parseDump(dumped(bytes))?.equals(bytes.subarray(0, 160))).toBe(true);
      }),
    );
    expect(parseDump(Buffer.from("<99>: File not found by ext2_lookup \n"))).toBeUndefined();
  });

  it.each([
    [0, 0, "0.000000000"],
    [1_800_000_000, 5 << 2, "1800000000.000000005"],
    [-2, 250_000_000 << 2, "-1.750000000"],
    [-1, 250_000_000 << 2, "-0.750000000"],
    [-1, 0, "-1.000000000"],
    [0, 1, "4294967296.000000000"],
    [0, 0xffff_ffff, "12884901888.999999999"],
  ])("has times: %i s and %i", (seconds, extra, expected) => {
    const bytes = Buffer.alloc(160);
    bytes.writeUInt16LE(32, 128);
    bytes.writeInt32LE(seconds, 16);
    bytes.writeUInt32LE(extra >>> 0, 136);
    expect(entryOf(Buffer.from("x"), "12", bytes).mtime).toBe(expected);
  });

  it("may be anything, and makes an entry", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 160, maxLength: 160 }), (bytes) => {
        const entry = entryOf(Buffer.from("\xff", "latin1"), "12", Buffer.from(bytes));
        expect(entry.name64).toBe("/w==");
        expect(entry.mtime).toMatch(/^-?\d+\.\d{9}$/);
      }),
    );
  });
});
