/** The metrics of a daemon: what it counts, and how it answers a scrape. */
import { definitions, type Definition } from "./definitions.ts";
import { type Exposition, type ExpositionFormat, PauseHistogram, render } from "./render.ts";
import { Samples } from "./samples.ts";
import { setGauges, type Snapshot } from "./snapshot.ts";

/** What is counted of a job's report. */
export interface CountedJob {
  readonly policy: string;
  readonly outcome: string;
  readonly sources: readonly {
    readonly source: string;
    readonly outcome: string;
    /** `pause` in ms; undefined for what can't be paused. */
    readonly point: { readonly read: number; readonly stored: number; readonly pause?: number | undefined } | undefined;
  }[];
  readonly replicas: readonly {
    readonly replica: string;
    readonly outcome: string;
    readonly points: number;
    readonly bytesSent: number;
  }[];
  readonly prune: readonly {
    readonly location: string;
    readonly outcome: string;
    readonly forgotten: number;
    readonly givenUp: number;
  }[];
}

export class Metrics {
  readonly #counters = new Samples();
  readonly #pauses = new PauseHistogram();

  countJob({ policy, outcome, sources, replicas, prune }: CountedJob): void {
    this.#counters.add("stillpoint_jobs_total", { policy, outcome }, 1);
    for (const { source, outcome: result, point } of sources) {
      this.#counters.add("stillpoint_captures_total", { policy, source, outcome: result }, 1);
      this.#counters.add("stillpoint_capture_read_bytes_total", { policy, source }, point?.read ?? 0);
      this.#counters.add("stillpoint_capture_stored_bytes_total", { policy, source }, point?.stored ?? 0);
      if (point?.pause !== undefined) this.#pauses.observe({ policy, source }, point.pause / 1000);
    }
    for (const { replica: location, outcome: result, points, bytesSent } of replicas) {
      this.#counters.add("stillpoint_replications_total", { policy, location, outcome: result }, 1);
      this.#counters.add("stillpoint_replication_points_total", { policy, location }, points);
      this.#counters.add("stillpoint_replication_sent_bytes_total", { policy, location }, bytesSent);
    }
    for (const { location, outcome: result, forgotten, givenUp } of prune) {
      this.#counters.add("stillpoint_prunes_total", { policy, location, outcome: result }, 1);
      this.#counters.add("stillpoint_pruned_points_total", { policy, location }, forgotten);
      this.#counters.add("stillpoint_given_up_points_total", { policy, location }, givenUp);
    }
  }

  countSweep(location: string, outcome: string, freedBytes: number): void {
    this.#counters.add("stillpoint_sweeps_total", { location, outcome }, 1);
    this.#counters.add("stillpoint_sweep_freed_bytes_total", { location }, freedBytes);
  }

  countCheck(location: string, outcome: string): void {
    this.#counters.add("stillpoint_checks_total", { location, outcome }, 1);
  }

  countNotification(channel: string, outcome: string): void {
    this.#counters.add("stillpoint_notifications_total", { channel, outcome }, 1);
  }

  async render(snapshot: Snapshot, format: ExpositionFormat): Promise<Exposition> {
    const gauges = new Samples();
    setGauges(gauges, snapshot);
    return await render([gauges, this.#counters], this.#pauses, format);
  }
}

/** docs/metrics.md: every metric with its labels and meaning. */
export function describeMetrics(): string {
  const rows = Object.entries<Definition>(definitions).map(([name, { type, help, labels }]) => {
    const which = labels.map((label) => `\`${label}\``).join(", ");
    return `| \`${name}\` | ${type} | ${which} | ${help} |`;
  });
  return `${introduction}\n| metric | type | labels | meaning |\n|---|---|---|---|\n${rows.join("\n")}\n`;
}

const introduction = `# Metrics

The daemon serves them at \`/metrics\`, in OpenMetrics or in the older Prometheus text format, as the scraper asks. This page is made
from \`src/metrics/definitions.ts\`; a test compares the two.

- \`location\` is \`primary\` or the name of a replica; \`policy\` and \`source\` are names of the configuration file; \`channel\` is
  \`webhook\`, \`email\` or \`ping\`. So the number of series is
  bounded by that file.
- \`outcome\` is \`ok\`, \`partial\` (something of value was done, and something was not) or \`failed\`; for replications also \`deferred\` (an earlier
  one to the same replica is still at work and goes on with the new points), and for prunes (the configuration has changed since the job began,
  and the next run forgets by the new one).
- Gauges are made of what the repositories and the state folder say, so a restart of the daemon changes none of them, unless their
  text says "in this process". Counters and histograms begin at 0 with the process.
- Ages are computed at each scrape. A location that can't be reached keeps its last known point, which goes on ageing, and
  \`stillpoint_location_reachable\` is 0. A source that was never captured has the age \`+Inf\`, so that an alert on the age fires.
- A point whose instant lies more than 5 minutes in the future is no evidence of anything, and is passed over.
`;
