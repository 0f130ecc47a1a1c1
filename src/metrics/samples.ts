/** Values of metrics, each with its labels. */
import { definitions, type LabelsOf, type MetricName } from "./definitions.ts";

export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** A set of samples: at most one for each metric and combination of labels. */
export class Samples {
  readonly #values = new Map<MetricName, Map<string, Sample>>();

  /** A value that isn't known is no sample. */
  set<N extends MetricName>(name: N, labels: LabelsOf<N>, value: number | undefined): void {
    if (value === undefined) return;
    this.#of(name).set(keyOf(name, labels), { labels, value });
  }

  add<N extends MetricName>(name: N, labels: LabelsOf<N>, value: number): void {
    const samples = this.#of(name);
    const key = keyOf(name, labels);
    samples.set(key, { labels, value: (samples.get(key)?.value ?? 0) + value });
  }

  of(name: MetricName): Iterable<Sample> {
    return this.#values.get(name)?.values() ?? [];
  }

  #of(name: MetricName): Map<string, Sample> {
    const samples = this.#values.get(name) ?? new Map<string, Sample>();
    this.#values.set(name, samples);
    return samples;
  }
}

function keyOf(name: MetricName, labels: Readonly<Record<string, string>>): string {
  return definitions[name].labels.map((label) => labels[label]).join(" ");
}
