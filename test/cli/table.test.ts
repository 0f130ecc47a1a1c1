import fc from "fast-check";
import { expect, test } from "vitest";
import { formatTable } from "../../src/cli/table.ts";

const columns = [
  { title: "NAME", cut: true },
  { title: "SIZE", align: "right" },
  { title: "NOTES", cut: true },
] as const;

test("columns are as wide as their widest cell, and no line ends in spaces", () => {
  const rows = [
    ["a", "1 B", ""],
    ["longer", "12 KiB", "x"],
  ];
  expect(formatTable(columns, rows)).toEqual(["NAME      SIZE  NOTES", "a          1 B", "longer  12 KiB  x"]);
});

test("without a width nothing is cut", () => {
  const long = "x".repeat(500);
  expect(formatTable(columns, [[long, "1 B", long]])[1]).toBe(`${long}   1 B  ${long}`);
});

test("where it doesn't fit, the widest of the columns that may be cut gives way first", () => {
  expect(formatTable(columns, [["a".repeat(10), "1234567", "b".repeat(40)]], 40)[1]).toBe(
    `${"a".repeat(10)}  1234567  ${"b".repeat(18)}…`,
  );
});

test("no line is wider than the terminal, as long as that leaves room for what isn't cut", () => {
  const cell = fc.string({ maxLength: 60, unit: "grapheme" });
  const row = fc.tuple(cell, fc.string({ maxLength: 10 }), cell);
  fc.assert(
    fc.property(fc.array(row), fc.integer({ min: 30, max: 200 }), (rows, width) => {
      for (const line of formatTable(columns, rows, width)) expect(Array.from(line).length).toBeLessThanOrEqual(width);
    }),
  );
});
