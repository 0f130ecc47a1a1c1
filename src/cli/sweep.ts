import { hostname } from "node:os";
import { InvalidArgumentError } from "commander";
import { threadedExecutor } from "../job/threads.ts";
import { sweep, type SweepReport } from "../repository/sweep/sweep.ts";
import type { Cli, DefineVerb } from "./cli.ts";
import { describeReport } from "./describe-report.ts";
import { count, formatBytes, formatTime } from "./format.ts";
import { addLocationOptions, type LocationFlags, openLocation } from "./open-location.ts";
import { Progress, type ProgressFlags } from "./progress.ts";
import { usualGrace } from "./usual-grace.ts";

interface Flags extends LocationFlags, ProgressFlags {
  readonly dryRun?: boolean;
  readonly acceptLost: readonly string[];
}

const keptBecause: Readonly<Record<SweepReport["kept"][number]["reason"], string>> = {
  "needed-again": "named before, and needed again since",
  waiting: "named before, and the grace period isn't over",
  young: "too young to be judged",
  locked: "not needed, and locked",
};

const words = { marking: "finding what is in use at", deleting: "deleting at", rewriting: "rewriting" } as const;
const units = { marking: "blobs", deleting: "packs", rewriting: "bytes" } as const;

export const define: DefineVerb = (command, cli) => {
  addLocationOptions(command)
    .option("--dry-run", "show what it would do, and change nothing")
    .option(
      "--accept-lost <id>",
      "a recovery point that is lost for good; may be given several times",
      (id: string, list: string[]) => [...list, parseId(id)],
      [],
    )
    .option("--quiet", "print no progress")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Frees the space that no recovery point needs. What is found unused is named at one visit, and deleted at a later one,
after the grace period (\`maintenance.grace\`): so captures may run meanwhile. Deletes nothing when anything can't be
explained, such as a missing recovery point.

Example:
  stillpoint sweep --location usb --dry-run`,
    )
    .action(async (flags: Flags) => await run(cli, flags));
};

/** A beginning isn't enough: what is lost can't be told from what begins like it. */
function parseId(id: string): string {
  if (/^[0-9a-f]{32}$/i.test(id)) return id.toLowerCase();
  throw new InvalidArgumentError("Give the whole id, 32 hexadecimal digits, as the refused sweep has named it.");
}

async function run(cli: Cli, flags: Flags): Promise<void> {
  const dryRun = flags.dryRun === true;
  const { name, repository, config } = await openLocation(cli, flags, { write: !dryRun, limited: true });
  const progress = new Progress(cli, flags);
  const report = await sweep(repository, {
    grace: config?.maintenance.grace ?? usualGrace,
    executor: threadedExecutor,
    dryRun,
    holder: `stillpoint sweep on ${hostname()}, process ${process.pid}`,
    acceptLost: new Set(flags.acceptLost),
    onStep: (step, done, total) => progress.update(`${words[step]} ${name}`, done, total, units[step]),
    signal: cli.signal,
  }).finally(() => progress.end());
  if (flags.json === true) cli.output.json({ location: name, ...(describeReport(report) as object) });
  else print(cli, name, report);
}

function print({ output }: Cli, location: string, report: SweepReport): void {
  const { points, blobs, bytesInUse, unreadable, deleted, condemned, rewritten, adopted } = report;
  const { nextVisit, dryRun, noRoom } = report;
  const packs = (sum: { packs: number; bytes: number }): string =>
    `${count(sum.packs, "pack")}, ${formatBytes(sum.bytes)}`;
  output.print(
    `${location}: ${count(points, "recovery point")} need ${count(blobs, "blob")}, ${formatBytes(bytesInUse)}`,
  );
  if (unreadable > 0)
    output.print(
      `${count(unreadable, "blob")} of these can't be read: run \`stillpoint check\`, then \`stillpoint repair\``,
    );
  output.print(`${dryRun ? "would delete" : "deleted"} now: ${packs(deleted)}`);
  output.print(`${dryRun ? "would name" : "named"} for the next visit: ${packs(condemned)}`);
  if (rewritten.packs > 0)
    output.print(`${dryRun ? "would rewrite" : "rewritten"}, to free what is between: ${packs(rewritten)}`);
  if (adopted.packs > 0) output.print(`found in no index, though needed: ${packs(adopted)}`);
  for (const kept of report.kept) {
    const until = kept.until === undefined ? "" : ` until ${formatTime(kept.until)} UTC`;
    output.print(`kept: ${packs(kept)}, ${keptBecause[kept.reason]}${until}`);
  }
  if (noRoom) output.print("The storage had no room for rewriting; the rest was done.");
  if (nextVisit !== undefined) output.print(`The next visit deletes from ${formatTime(nextVisit)} UTC on.`);
}
