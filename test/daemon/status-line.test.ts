import { describe, expect, it } from "vitest";
import type { PointStatus } from "../../src/daemon/control-protocol.ts";
import { type StatusOfLine, statusLine } from "../../src/daemon/status-line.ts";

const minute = 60_000;
const now = Date.UTC(2026, 5, 1);

function point(source: string, age: number | undefined, objective?: number, location = "primary"): PointStatus {
  const newest = age === undefined ? undefined : ({ time: now - age } as PointStatus["newest"]);
  return { policy: "all", source, location, newest, verified: undefined, objective };
}

function line(points: readonly PointStatus[], other: Partial<StatusOfLine> = {}): string {
  const names = [...new Set(points.map(({ source }) => source))];
  const policy = { sources: names, running: false, nextRun: undefined, lag: undefined, lastJob: undefined };
  const policies = ["hourly", "nightly"].map((name) => ({ policy: name, ...policy }));
  const config = { file: "/etc/x", current: true, loaded: 0, error: undefined };
  return statusLine({ now, config, notReady: [], policies, points, ...other });
}

describe("statusLine", () => {
  it("tells the age of what is worst off, and whether all objectives are met", () => {
    expect(line([point("etc", 3 * minute, 60 * minute), point("www", 7.9 * minute)])).toBe(
      "2 policies, oldest recovery point 7 min, objectives met",
    );
    expect(line([point("etc", 300 * minute)])).toBe("2 policies, oldest recovery point 5h");
    expect(line([])).toBe("2 policies");
  });

  it("names what misses its objective, and what was never captured", () => {
    const late = [point("etc", 61 * minute, 60 * minute, "usb"), point("www", 90 * minute, 60 * minute)];
    expect(line(late)).toBe("2 policies, oldest recovery point 90 min, objective missed: etc at usb and 1 more");
    expect(line([point("etc", minute, 60 * minute), point("www", undefined, 60 * minute)])).toBe(
      "2 policies, no recovery point of www at primary, objective missed: www at primary",
    );
  });

  it("says first what stands in the way", () => {
    expect(line([], { notReady: ["usb has not been looked at yet."] })).toBe(
      "not ready: usb has not been looked at yet, 2 policies",
    );
    const config = { file: "/etc/x", current: false, loaded: 0, error: { code: "config_invalid", message: "no" } };
    expect(
      line([], { config: config as StatusOfLine["config"], notReady: ["The configuration isn't in force."] }),
    ).toBe("the configuration file is refused, the one before is in force, 2 policies");
  });

  it("names the policies at work", () => {
    const policy = { policy: "hourly", sources: [], running: true, nextRun: 0, lag: undefined, lastJob: undefined };
    expect(line([], { policies: [policy] })).toBe("1 policy, at work: hourly");
  });
});
