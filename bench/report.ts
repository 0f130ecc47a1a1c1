import { availableParallelism, cpus, freemem, loadavg, release as kernel, totalmem } from "node:os";
import { type Bound, bounds } from "./bounds.ts";
import { offsiteOperations, operations, vmOperations } from "./operations.ts";
import type { Results } from "./results.ts";

const mebibyte = 2 ** 20;

/** What the figures depend on. */
export function describeMachine(): string {
  const gib = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(1)} GiB`;
  const processors = `${String(availableParallelism())} x ${cpus()[0]?.model ?? "processor"}`;
  return `${processors}, ${gib(totalmem())} of memory (${gib(freemem())} free), Linux ${kernel()}, Node ${process.version}, load ${(loadavg()[0] ?? 0).toFixed(1)}`;
}

/** Medians, and how many times faster Stillpoint is. */
export function printTable(results: Results, peers: readonly string[]): void {
  const rows = [["", "", "seconds", "of them", "processor", "peak MiB", "stored MiB", "ratio"]];
  const offsite = Object.values(offsiteOperations).flatMap((each) => Object.values(each));
  for (const operation of [...Object.values(operations), ...offsite, ...Object.values(vmOperations)]) {
    for (const peer of [...peers, "primitives", "rclone", "virtnbdbackup", "virtnbdbackup -z"]) {
      const seconds = results.median(operation, peer, "seconds");
      if (seconds === undefined) continue;
      const stored = results.median(operation, peer, "storedBytes");
      const ratio = results.ratio(operation, peer);
      const each = results.samples.filter((sample) => sample.operation === operation && sample.peer === peer);
      rows.push([
        operation,
        peer,
        seconds.toFixed(2),
        each.map((sample) => sample.seconds.toFixed(1)).join(" "),
        (results.median(operation, peer, "cpuSeconds") ?? 0).toFixed(1),
        inMebibytes(results.median(operation, peer, "peakBytes")),
        inMebibytes(stored),
        peer === "stillpoint" || ratio === undefined ? "" : ratio.toFixed(2),
      ]);
    }
  }
  if (rows.length > 1) printColumns(rows);
}

/** What is no cost of a command. */
export function printFacts({ facts }: Results): void {
  const rows = Object.entries(facts).map(([what, value]) => [what, value.toFixed(2)]);
  if (rows.length > 0) printColumns(rows);
}

/** Each bound that this run has measured. Returns how many are missed. */
export function printBounds(results: Results): number {
  const rows: string[][] = [];
  let missed = 0;
  for (const bound of bounds) {
    const value = bound.value(results);
    if (value === undefined) continue;
    const ok = isMet(bound, value);
    if (!ok) missed += 1;
    const limit = bound.atLeast === undefined ? `at most ${String(bound.atMost)}` : `at least ${String(bound.atLeast)}`;
    rows.push([ok ? "PASS" : "MISS", bound.what, `${value.toFixed(2)} ${bound.unit}`, limit]);
  }
  if (rows.length > 0) printColumns(rows);
  return missed;
}

export function isMet({ atLeast, atMost }: Bound, value: number): boolean {
  return value >= (atLeast ?? -Infinity) && value <= (atMost ?? Infinity);
}

function inMebibytes(bytes: number | undefined): string {
  return bytes === undefined ? "" : (bytes / mebibyte).toFixed(0);
}

function printColumns(rows: readonly (readonly string[])[]): void {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  console.log();
  for (const row of rows)
    console.log(
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    );
}
