import { Metrics } from "../../src/metrics/metrics.ts";
import type { Snapshot } from "../../src/metrics/snapshot.ts";

const [policy, source, location] = ["often", "docs", "far"];

/** A daemon that knows everything that can be known. */
const everything: Snapshot = {
  now: 1,
  version: "1",
  series: [
    {
      policy,
      source,
      location,
      newest: { time: 1, size: 1, stored: 1, leftOut: 1, duration: 1 },
      verified: 1,
      objective: 1,
    },
  ],
  locations: [
    {
      location,
      reachable: true,
      checked: 1,
      freeBytes: 1,
      sizeBytes: 1,
      points: [{ source, count: 1 }],
      inFuture: 1,
      lastSweep: 1,
      sweepFailures: 1,
      checkFailures: 1,
      allRead: 1,
      lastCheck: 1,
      findings: 1,
    },
  ],
  backlogs: [{ policy, location, points: 1, bytes: 1 }],
  captures: [{ policy, source, failures: 1 }],
  replications: [{ policy, location, failures: 1, unlocked: 1, interference: 1 }],
  prunes: [{ policy, location, failures: 1 }],
  nextSweep: 1,
  policies: [{ policy, running: true, nextRun: 1, lag: 1 }],
  notifications: [{ channel: "webhook", failures: 1, succeeded: 1 }],
  config: { current: true, loaded: 1 },
  process: { started: 1, residentBytes: 1 },
};

/** The names of all metrics that a scrape can bring, with their labels: read from what the daemon would answer. */
export async function exportedMetrics(): Promise<ReadonlyMap<string, ReadonlySet<string>>> {
  const metrics = new Metrics();
  metrics.countJob({
    policy,
    outcome: "ok",
    sources: [{ source, outcome: "ok", point: { read: 1, stored: 1, pause: 1 } }],
    replicas: [{ replica: location, outcome: "ok", points: 1, bytesSent: 1 }],
    prune: [{ location, outcome: "ok", forgotten: 1, givenUp: 1 }],
  });
  metrics.countSweep(location, "ok", 1);
  metrics.countCheck(location, "ok");
  metrics.countNotification("webhook", "ok");
  const { text } = await metrics.render(everything, "prometheus");
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(
    lines.map((line) => {
      const [, name = "", labels = ""] = /^(\w+)(?:\{(.*)\})? /.exec(line) ?? [];
      return [name, new Set(Array.from(labels.matchAll(/(\w+)="/g), ([, label = ""]) => label))];
    }),
  );
}
