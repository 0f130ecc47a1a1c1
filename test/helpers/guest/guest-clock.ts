/**
 * When a counter guest ticked, by the host's clock. Its own clocks stand still whenever it does, so it can't tell itself; QEMU
 * notes the time at which the guest writes the end of each line to its serial port.
 */
import * as fs from "node:fs";
import * as path from "node:path";

/** For QEMU's command line. The log belongs to this one process: a machine started again from a point would write to it as well. */
export function clockArguments(folder: string): string[] {
  return ["-D", logOf(folder), "-trace", "enable=serial_write", "-msg", "timestamp=on"];
}

/** The times of all ticks so far, in ms since the epoch. */
function readTicks(folder: string): number[] {
  const ends = fs.readFileSync(logOf(folder), "latin1").matchAll(/^[0-9]+@([0-9.]+):serial_write .*val 0x0a$/gm);
  return [...ends].map(([, seconds]) => Number(seconds) * 1000);
}

/** The longest time between two ticks of which one or both were in the span, in ms; times in ms since the epoch. */
export function longestGap(folder: string, from: number, to: number): number {
  const ticks = readTicks(folder);
  const gaps = ticks.slice(1).map((end, number) => ({ begin: ticks[number] ?? end, end }));
  return Math.max(
    0,
    ...gaps.filter(({ begin, end }) => end >= from && begin <= to).map(({ begin, end }) => end - begin),
  );
}

function logOf(folder: string): string {
  return path.join(folder, "ticks.log");
}
