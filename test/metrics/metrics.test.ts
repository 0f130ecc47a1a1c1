import { describe, expect, it } from "vitest";
import { definitions, type Definition } from "../../src/metrics/definitions.ts";
import { describeMetrics, Metrics } from "../../src/metrics/metrics.ts";
import { formatFor } from "../../src/metrics/render.ts";
import type { SeriesState, Snapshot } from "../../src/metrics/snapshot.ts";

const now = Date.UTC(2026, 10, 22, 12);
const series: SeriesState = {
  policy: "often",
  source: "docs",
  location: "primary",
  newest: { time: now - 90_000, size: 10, stored: 2, leftOut: 1, duration: 1500 },
  verified: undefined,
  objective: 60_000,
};
const snapshot: Snapshot = {
  now,
  version: "1.2.3",
  series: [series],
  locations: [],
  backlogs: [],
  captures: [],
  replications: [],
  notifications: [],
  prunes: [],
  nextSweep: undefined,
  policies: [],
  config: { current: true, loaded: now },
  process: { started: now, residentBytes: 1 },
};

async function lines(changes: Partial<Snapshot>, metrics = new Metrics()): Promise<string[]> {
  const { text } = await metrics.render({ ...snapshot, ...changes }, "prometheus");
  return text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
}

describe("ages", () => {
  const labels = 'policy="often",source="docs",location="primary"';

  it("count from the instant captured, in seconds, and are judged by the objective", async () => {
    const late = await lines({});
    expect(late).toContain(`stillpoint_recovery_point_age_seconds{${labels}} 90`);
    expect(late).toContain(`stillpoint_recovery_point_objective_seconds{${labels}} 60`);
    expect(late).toContain(`stillpoint_recovery_point_objective_met{${labels}} 0`);
    const inTime = await lines({ series: [{ ...series, objective: 90_000 }] });
    expect(inTime).toContain(`stillpoint_recovery_point_objective_met{${labels}} 1`);
  });

  it("are infinite for what was never captured, and never verified, so that an alert fires", async () => {
    const never = await lines({ series: [{ ...series, newest: undefined }] });
    expect(never).toContain(`stillpoint_recovery_point_age_seconds{${labels}} +Inf`);
    expect(never).toContain(`stillpoint_verified_recovery_point_age_seconds{${labels}} +Inf`);
    expect(never).toContain(`stillpoint_recovery_point_objective_met{${labels}} 0`);
    expect(never.some((line) => line.startsWith("stillpoint_recovery_point_timestamp_seconds"))).toBe(false);
  });

  it("are never negative, and promise nothing where nothing was promised", async () => {
    const future = {
      ...series,
      newest: { ...(series.newest as NonNullable<SeriesState["newest"]>), time: now + 1000 },
    };
    const found = await lines({ series: [{ ...future, objective: undefined }] });
    expect(found).toContain(`stillpoint_recovery_point_age_seconds{${labels}} 0`);
    expect(found.some((line) => line.includes("objective"))).toBe(false);
  });
});

describe("failures in a row", () => {
  const location = {
    location: "far",
    reachable: true,
    checked: now,
    freeBytes: undefined,
    sizeBytes: undefined,
    points: [],
    inFuture: 1,
    lastSweep: undefined,
    sweepFailures: 3,
    checkFailures: 4,
    allRead: now - 1000,
    lastCheck: undefined,
    findings: undefined,
  };

  it("are told also when there are none, so that an alert can end", async () => {
    const found = await lines({
      captures: [{ policy: "often", source: "docs", failures: 0 }],
      replications: [{ policy: "often", location: "far", failures: 1, unlocked: 5, interference: 7000 }],
      prunes: [{ policy: "often", location: "far", failures: 2 }],
      locations: [location],
    });
    expect(found).toContain('stillpoint_capture_consecutive_failures{policy="often",source="docs"} 0');
    expect(found).toContain('stillpoint_prune_consecutive_failures{policy="often",location="far"} 2');
    expect(found).toContain('stillpoint_replication_consecutive_failures{policy="often",location="far"} 1');
    expect(found).toContain('stillpoint_replication_unlocked_points{policy="often",location="far"} 5');
    expect(found).toContain('stillpoint_replica_interference_timestamp_seconds{policy="often",location="far"} 7');
    expect(found).toContain('stillpoint_sweep_consecutive_failures{location="far"} 3');
    expect(found).toContain('stillpoint_check_consecutive_failures{location="far"} 4');
    expect(found).toContain(`stillpoint_check_all_read_timestamp_seconds{location="far"} ${String(now / 1000 - 1)}`);
    expect(found).toContain('stillpoint_recovery_points_in_future{location="far"} 1');
  });
});

it("tells the host's clock and when the next sweep starts, so that others can judge both", async () => {
  const found = await lines({ nextSweep: now + 3_600_000 });
  expect(found).toContain(`stillpoint_clock_timestamp_seconds ${String(now / 1000)}`);
  expect(found).toContain(`stillpoint_sweep_next_run_timestamp_seconds ${String(now / 1000 + 3600)}`);
});

describe("counters", () => {
  const report = {
    policy: "often",
    outcome: "partial",
    sources: [{ source: "docs", outcome: "ok", point: { read: 7, stored: 3 } }],
    replicas: [{ replica: "far", outcome: "deferred", points: 0, bytesSent: 0 }],
    prune: [{ location: "primary", outcome: "ok", forgotten: 2, givenUp: 1 }],
  };

  it("add up over jobs", async () => {
    const metrics = new Metrics();
    metrics.countJob(report);
    metrics.countJob(report);
    const found = await lines({}, metrics);
    expect(found).toContain('stillpoint_jobs_total{policy="often",outcome="partial"} 2');
    expect(found).toContain('stillpoint_capture_stored_bytes_total{policy="often",source="docs"} 6');
    expect(found).toContain('stillpoint_replications_total{policy="often",location="far",outcome="deferred"} 2');
    expect(found).toContain('stillpoint_pruned_points_total{policy="often",location="primary"} 4');
    expect(found).toContain('stillpoint_given_up_points_total{policy="often",location="primary"} 2');
  });

  it("tell how long virtual machines stood still, also when asked in both formats", async () => {
    const metrics = new Metrics();
    expect((await lines({}, metrics)).some((line) => line.includes("pause"))).toBe(false);
    const sources = [30, 700].map((pause) => ({ source: "vm", outcome: "ok", point: { read: 1, stored: 1, pause } }));
    metrics.countJob({ ...report, sources });
    await metrics.render(snapshot, "openmetrics");
    const found = await lines({}, metrics);
    const bucket = (bound: string): string =>
      `stillpoint_capture_pause_seconds_bucket{le="${bound}",policy="often",source="vm"}`;
    expect(found).toContain(`${bucket("0.02")} 0`);
    expect(found).toContain(`${bucket("0.05")} 1`);
    expect(found).toContain(`${bucket("+Inf")} 2`);
    expect(found).toContain('stillpoint_capture_pause_seconds_sum{policy="often",source="vm"} 0.73');
  });

  it("keep their names when OpenMetrics was asked for in between", async () => {
    const metrics = new Metrics();
    metrics.countJob(report);
    const open = await metrics.render(snapshot, "openmetrics");
    expect(open.contentType).toContain("application/openmetrics-text");
    expect(open.text).toContain("# TYPE stillpoint_jobs counter");
    expect(open.text).toContain('stillpoint_jobs_total{policy="often",outcome="partial"} 1');
    expect(open.text.endsWith("# EOF\n")).toBe(true);
    expect(await lines({}, metrics)).toContain('stillpoint_jobs_total{policy="often",outcome="partial"} 1');
  });
});

it("answers in the format that the scraper asks for", () => {
  expect(formatFor("application/openmetrics-text;version=1.0.0,text/plain;q=0.5")).toBe("openmetrics");
  expect(formatFor("text/plain")).toBe("prometheus");
  expect(formatFor(undefined)).toBe("prometheus");
});

it("names metrics as Prometheus wants them named", () => {
  for (const [name, { type, help }] of Object.entries<Definition>(definitions)) {
    expect(name).toMatch(/^(stillpoint|process)_[a-z_]+$/);
    expect([name, name.endsWith("_total")]).toEqual([name, type === "counter"]);
    expect(`${name} ${help}`).toMatch(/[.]$/);
  }
});

it("is described in docs/metrics.md (vitest -u writes it anew)", async () => {
  await expect(describeMetrics()).toMatchFileSnapshot("../../docs/metrics.md");
});
