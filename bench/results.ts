import type { Cost } from "./measure.ts";

/** One figure of one round. */
export interface Sample extends Cost {
  readonly operation: string;
  readonly peer: string;
  /** By how many bytes the repository grew; undefined when it isn't about writing. */
  readonly storedBytes?: number | undefined;
}

/** A figure that isn't the cost of a command, such as bytes of memory per TiB. */
export type Facts = Record<string, number>;

export class Results {
  readonly samples: Sample[] = [];
  readonly facts: Facts = {};

  /** The median of a figure over the rounds; undefined when it wasn't measured. */
  median(
    operation: string,
    peer: string,
    figure: "seconds" | "cpuSeconds" | "peakBytes" | "storedBytes",
  ): number | undefined {
    const values = this.samples
      .filter((sample) => sample.operation === operation && sample.peer === peer)
      .map((sample) => sample[figure])
      .filter((value) => value !== undefined)
      .toSorted((a, b) => a - b);
    const middle = values.length >> 1;
    const [upper, lower] = [values[middle], values[middle - 1]];
    if (values.length % 2 === 1 || upper === undefined || lower === undefined) return upper;
    return (upper + lower) / 2;
  }

  /** How many times faster Stillpoint is. */
  ratio(operation: string, peer: string): number | undefined {
    const [theirs, ours] = [this.median(operation, peer, "seconds"), this.median(operation, "stillpoint", "seconds")];
    return theirs === undefined || ours === undefined ? undefined : theirs / ours;
  }
}
