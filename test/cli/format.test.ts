import { describe, expect, test } from "vitest";
import { count, formatAge, formatBytes, formatTime, printable } from "../../src/cli/format.ts";

test.each([
  [0, "0 B"],
  [1023, "1023 B"],
  [1024, "1.0 KiB"],
  [1024 * 1024 - 1, "1.0 MiB"],
  [1536 * 1024, "1.5 MiB"],
  [8 * 1024 ** 3, "8.0 GiB"],
  [3 * 1024 ** 6, "3072.0 PiB"],
])("%d bytes are %s", (bytes, text) => expect(formatBytes(bytes)).toBe(text));

test.each([
  [0, "0s"],
  [999, "0s"],
  [61_000, "1m 1s"],
  [3_600_000, "1h"],
  [90_061_000, "1d 1h"],
  [-5_000, "-5s"],
  [Number.POSITIVE_INFINITY, "never"],
])("%d ms are %s", (ms, text) => expect(formatAge(ms)).toBe(text));

test("times are in UTC, and one that can't be is said to be so", () => {
  expect(formatTime(Date.UTC(2026, 10, 22, 11, 33))).toBe("2026-11-22 11:33:00");
  expect(formatTime(1e300)).toBe("an unknown time");
});

test("one or several", () => {
  expect([count(1, "policy", "policies"), count(12_345, "file")]).toEqual(["1 policy", "12,345 files"]);
});

describe("text from elsewhere", () => {
  test("can't steer the terminal, nor begin a line of its own", () => {
    expect(printable("a\u001B[2Jb\nc\u009Bd\u202Ee\u2028f")).toBe("a\\u{1b}[2Jb\\u{a}c\\u{9b}d\\u{202e}e\\u{2028}f");
  });

  test("stays as it is where it is harmless", () => {
    expect(printable("Grüße, 世界 🌍")).toBe("Grüße, 世界 🌍");
  });

  test("shows a question mark for what isn't UTF-8", () => {
    expect(printable(Buffer.from([0x61, 0xff]).toString())).toBe("a?");
  });
});
