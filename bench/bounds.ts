/** What must be reached, and by which figure it is judged. */
import { longLineFact, roundTrips } from "./offsite/long-line.ts";
import { offsiteOperations, operations } from "./operations.ts";
import type { Results } from "./results.ts";

export interface Bound {
  readonly what: string;
  readonly unit: "times" | "MiB" | "s" | "ms" | "%" | "";
  readonly atLeast?: number;
  readonly atMost?: number;
  /** Undefined when it wasn't measured in this run. */
  readonly value: (results: Results) => number | undefined;
}

const mebibyte = 2 ** 20;

function faster(operation: string, atLeast: number): Bound {
  const value = (results: Results): number | undefined => results.ratio(operation, "restic");
  return { what: `${operation}: speed against restic`, unit: "times", atLeast, value };
}

function fact(what: string, unit: Bound["unit"], atMost: number): Bound {
  return { what, unit, atMost, value: (results) => results.facts[what] };
}

/** A part, in %, of what would be possible. */
function used(what: string, atLeast: number): Bound {
  return { what, unit: "%", atLeast, value: (results) => results.facts[what] };
}

const stores = ["s3", "sftp"] as const;

export const bounds: readonly Bound[] = [
  faster(operations.imageFirst, 2.5),
  {
    what: `${operations.imageFirst}: speed against the primitives alone`,
    unit: "%",
    atLeast: 80,
    value: (results) => scaled(results.ratio(operations.imageFirst, "primitives"), 1 / 100),
  },
  faster(operations.imageWritten, 5),
  {
    what: `${operations.imageWritten}: stored`,
    unit: "MiB",
    atMost: 100,
    value: (results) => scaled(results.median(operations.imageWritten, "stillpoint", "storedBytes"), mebibyte),
  },
  faster(operations.imageUnchanged, 6),
  faster(operations.imageRestore, 2),
  faster(operations.check, 2),
  faster(operations.treeFirst, 2),
  faster(operations.treeUnchanged, 1),
  faster(operations.treeRestore, 1.5),
  {
    what: "peak memory of any of these",
    unit: "MiB",
    atMost: 350,
    value: (results) => {
      const peaks = Object.values(operations).map(
        (operation) => results.median(operation, "stillpoint", "peakBytes") ?? 0,
      );
      return scaled(Math.max(...peaks) || undefined, mebibyte);
    },
  },
  fact("idle daemon: memory", "MiB", 90),
  fact("10,000 points: list", "s", 2),
  fact("10,000 points: prune plan", "s", 2),
  fact("10,000 points: replication plan", "s", 2),
  fact("10,000 points: start-up of the daemon", "s", 2),
  fact("index: memory for 1 TiB of unique data", "MiB", 100),
  fact("1,000 points of an image: the newest's restore takes longer than the first's by", "%", 5),
  fact("load: scrape when idle, slowest of ten, ms", "ms", 100),
  fact("load: scrape while they run, slowest, ms", "ms", 100),
  fact("load: captures that were left out or done twice", "", 0),
  fact("load: latest start after the minute, s", "s", 5),
  fact("4 GiB of RAM: pause, Stillpoint, ms", "ms", 50),
  used("VM's disk: first, of the bound's speed, %", 80),
  fact("VM's disk: 1 % changed, part of the first's time", "", 0.05),
  fact("boot to the next tick, slowest, s", "s", 1.5),
  fact("boot to the next tick, slowest against fastest", "times", 1.5),
  ...stores.flatMap((store): Bound[] => {
    const { first, changed } = offsiteOperations[store];
    return [
      faster(first, 2),
      {
        what: `${first}: speed against rclone with the same bytes`,
        unit: "%",
        atLeast: 80,
        value: (results) => scaled(results.ratio(first, "rclone"), 1 / 100),
      },
      faster(changed, 5),
      fact(`${store}: bytes sent for each new sealed byte`, "", 1.05),
      ...roundTrips.map((ms) => used(longLineFact(store, ms), 80)),
    ];
  }),
];

function scaled(value: number | undefined, unit: number): number | undefined {
  return value === undefined ? undefined : value / unit;
}
