import { describe, expect, test } from "vitest";
import { type Bandwidth, rateAt } from "../../src/policy/bandwidth.ts";
import { loadConfig } from "../../src/policy/load.ts";

const mebibyte = 2 ** 20;

function bandwidthOf(text: string): Bandwidth | undefined {
  const config = loadConfig(
    `version: 1
repository: { path: /srv/repository, key_file: /etc/key }
replicas: { far: { path: /mnt/far, bandwidth: ${text} } }
sources: { etc: { directory: { path: /etc } } }
policies:
  p: { sources: [etc], schedule: { manual: true }, keep: { last: 1 }, replicate: { far: {} } }
`,
    "/etc/stillpoint.yaml",
  );
  return config.replicas[0]?.bandwidth;
}

test("one rate holds always", () => {
  expect(rateAt(bandwidthOf("50MiB/s") as Bandwidth, 0)).toBe(50 * mebibyte);
});

describe("rates by time", () => {
  const windows = `[ { from: "22:00", to: "06:00", rate: unlimited }, { from: "00:00", to: "24:00", days: [sat, sun], rate: 40MiB/s } ]`;
  const bandwidth = bandwidthOf(`{ default: 5MiB/s, timezone: Europe/Berlin, windows: ${windows} }`) as Bandwidth;
  /** 2026-11-20 is a Friday; Berlin is an hour ahead of UTC then. */
  const at = (day: number, time: string): number | undefined =>
    rateAt(bandwidth, Date.parse(`2026-11-${String(day)}T${time}:00+01:00`));

  test("a window holds from its beginning to its end, in its zone, across midnight", () => {
    expect(at(20, "21:59")).toBe(5 * mebibyte);
    expect(at(20, "22:00")).toBeUndefined();
    expect(at(20, "05:59")).toBeUndefined();
    expect(at(20, "06:00")).toBe(5 * mebibyte);
  });

  test("of windows that meet the first one counts", () => {
    expect(at(21, "05:00")).toBeUndefined();
    expect(at(21, "12:00")).toBe(40 * mebibyte);
  });

  test("without a default there is no limit outside of the windows", () => {
    const days = bandwidthOf(`{ windows: [ { from: "08:00", to: "18:00", rate: 5MiB/s } ] }`) as Bandwidth;
    expect(rateAt(days, Date.UTC(2026, 10, 20, 7))).toBeUndefined();
    expect(rateAt(days, Date.UTC(2026, 10, 20, 9))).toBe(5 * mebibyte);
  });
});
