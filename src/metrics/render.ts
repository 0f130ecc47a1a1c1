/**
 * Samples as text for Prometheus. The only user of prom-client; of which it takes four modules, since the whole of it loads
 * tracing, clustering and push gateways too, in 4 MiB that an idle daemon would carry for nothing.
 */
import Counter from "prom-client/lib/counter.js";
import Gauge from "prom-client/lib/gauge.js";
import Histogram from "prom-client/lib/histogram.js";
import Registry from "prom-client/lib/registry.js";
import { type Definition, definitions, type LabelsOf, type MetricName } from "./definitions.ts";
import type { Samples } from "./samples.ts";

export type ExpositionFormat = "prometheus" | "openmetrics";

export interface Exposition {
  readonly contentType: string;
  readonly text: string;
}

/** The format that a scraper prefers, by its Accept header. */
export function formatFor(accept: string | undefined): ExpositionFormat {
  return accept?.includes("application/openmetrics-text") === true ? "openmetrics" : "prometheus";
}

/** Upper bounds of pauses, in seconds: from what is hardly noticed to what drops connections. */
const pauseBounds = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10];

/** A distribution that is kept from rendering to rendering, since it can't be made again of its counts. */
export class PauseHistogram {
  readonly #name = "stillpoint_capture_pause_seconds";
  readonly #histogram: Histogram;

  constructor() {
    const { help, labels } = definitions[this.#name];
    const name = this.#name;
    this.#histogram = new Histogram({ name, help, labelNames: [...labels], buckets: pauseBounds, registers: [] });
  }

  observe(labels: LabelsOf<"stillpoint_capture_pause_seconds">, seconds: number): void {
    this.#histogram.observe(labels, seconds);
  }

  async register(registry: Pick<Registry, "registerMetric">): Promise<void> {
    const { values } = await this.#histogram.get();
    if (values.length > 0) registry.registerMetric(this.#histogram);
  }
}

/**
 * Each rendering has a registry of its own: prom-client renames counters when it writes OpenMetrics. Metrics without a
 * sample are left out.
 */
export async function render(
  samples: readonly Samples[],
  pauses: PauseHistogram,
  format: ExpositionFormat,
): Promise<Exposition> {
  const registry = new Registry<typeof Registry.PROMETHEUS_CONTENT_TYPE | typeof Registry.OPENMETRICS_CONTENT_TYPE>();
  const open = format === "openmetrics";
  registry.setContentType(open ? Registry.OPENMETRICS_CONTENT_TYPE : Registry.PROMETHEUS_CONTENT_TYPE);
  for (const [name, definition] of Object.entries<Definition>(definitions)) {
    const values = samples.flatMap((some) => [...some.of(name as MetricName)]);
    if (values.length === 0) continue;
    const options = { name, help: definition.help, labelNames: [...definition.labels], registers: [registry] };
    if (definition.type === "gauge") {
      const metric = new Gauge(options);
      for (const { labels, value } of values) metric.set(labels, value);
    } else {
      const metric = new Counter(options);
      for (const { labels, value } of values) metric.inc(labels, value);
    }
  }
  await pauses.register(registry);
  return { contentType: registry.contentType, text: await registry.metrics() };
}
