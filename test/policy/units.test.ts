import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { formatPeriod, parsePeriod, subtractPeriod } from "../../src/policy/period.ts";
import { formatDuration, parseDuration, parseRate } from "../../src/policy/units.ts";

describe("durations", () => {
  test.each([
    ["500ms", 500],
    ["30s", 30_000],
    ["15m", 900_000],
    ["1h30m", 5_400_000],
    ["30d", 2_592_000_000],
    ["2w", 1_209_600_000],
    ["0s", 0],
  ])("%s", (text, ms) => expect(parseDuration(text)).toBe(ms));

  test.each(["", "30", "m", "1.5h", "-1h", "1h 30m", "1H", "1h1h", "1y", " 1h", "1h\n", "9999999999s"])(
    "refuses %j",
    (text) => expect(parseDuration(text)).toBeUndefined(),
  );

  test("are read back as they are written", () => {
    fc.assert(
      fc.property(fc.nat({ max: 2 ** 40 }), (ms) => {
        expect(parseDuration(formatDuration(ms))).toBe(ms);
      }),
    );
  });
});

describe("rates", () => {
  test.each([
    ["50MiB/s", 52_428_800],
    ["512KiB/s", 524_288],
    ["1MB/s", 1_000_000],
    ["100B/s", 100],
  ])("%s", (text, bytes) => expect(parseRate(text)).toBe(bytes));

  test.each(["50", "50MiB", "50Mib/s", "50mb/s", "1.5MiB/s", "/s", "50Mbit/s"])("refuses %j", (text) =>
    expect(parseRate(text)).toBeUndefined(),
  );
});

describe("periods", () => {
  test.each([
    ["9h", "9h"],
    ["4d2h", "4d2h"],
    ["5d7m", "7m5d"],
    ["1y5m7d2h", "1y5m7d2h"],
    ["0d", "0h"],
  ])("%s is %s", (text, normal) => expect(formatPeriod(parsePeriod(text) ?? never())).toBe(normal));

  test.each(["", "2w", "1y4m3w1d", "s", "-1d", "1d1d", "1.5d", "5", "1Y", "5d "])("refuses %j", (text) =>
    expect(parsePeriod(text)).toBeUndefined(),
  );

  test.each([
    // Without a leap day or a change of the clocks in between.
    ["1999-12-30T15:16:17Z", "1y2m3d4h", "UTC", "1998-10-27T11:16:17Z"],
    // 31 February doesn't exist: Go's AddDate, and so restic, counts on into March.
    ["2023-03-31T12:00:00Z", "1m", "UTC", "2023-03-03T12:00:00Z"],
    ["2024-02-29T12:00:00Z", "1y", "UTC", "2023-03-01T12:00:00Z"],
    // Days are days of the calendar: noon stays noon over the change of the clocks.
    ["2026-03-30T10:00:00Z", "2d", "Europe/Berlin", "2026-03-28T11:00:00Z"],
    // Hours are real hours.
    ["2026-03-30T10:00:00Z", "48h", "Europe/Berlin", "2026-03-28T10:00:00Z"],
  ])("%s less %s in %s", (time, period, zone, expected) => {
    const result = subtractPeriod(Date.parse(time), parsePeriod(period) ?? never(), zone);
    expect(new Date(result).toISOString()).toBe(new Date(expected).toISOString());
  });

  test("a fraction of a millisecond survives", () => {
    expect(subtractPeriod(1000.25, parsePeriod("1h") ?? never(), "UTC")).toBe(1000.25 - 3_600_000);
  });
});

function never(): never {
  throw new Error("not a period");
}
