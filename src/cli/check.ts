import { InvalidArgumentError } from "commander";
import { exitStatus } from "../errors.ts";
import { primaryName } from "../job/locations.ts";
import { threadedExecutor } from "../job/threads.ts";
import { checkRepository, type CheckReport } from "../repository/check/check.ts";
import type { Cli, DefineVerb } from "./cli.ts";
import { describeReport } from "./describe-report.ts";
import { count, formatAge, formatBytes, formatTime } from "./format.ts";
import { noteCheck } from "./note-check.ts";
import { addLocationOptions, type LocationFlags, openLocation } from "./open-location.ts";
import { printFindings } from "./print-findings.ts";
import { Progress, type ProgressFlags } from "./progress.ts";

interface Flags extends LocationFlags, ProgressFlags {
  readonly readData?: true | Part;
}

/** Group `group` (from 1) of `of`. */
interface Part {
  readonly group: number;
  readonly of: number;
}

export const define: DefineVerb = (command, cli) => {
  addLocationOptions(command)
    .option("--read-data [n/t]", "read every stored byte; or the n-th of t parts of them", parsePart)
    .option("--quiet", "print no progress")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Checks that every recovery point is complete: manifests and their signatures, trees, index, packs. With --read-data it
also reads and verifies what is stored. At a location of the configuration it records with each recovery point when
something of it can't be read and, having read everything, that all of it can. Changes nothing else. The daemon counts
such a check as one of its own. Damage makes the exit status 4.

Examples:
  stillpoint check
  stillpoint check --read-data --location usb
  stillpoint check --read-data=1/7`,
    )
    .action(async (flags: Flags) => await check(cli, flags));
};

async function check(cli: Cli, flags: Flags): Promise<void> {
  const readData = flags.readData === true ? { group: 1, of: 1 } : flags.readData;
  // Only a location that is ours gets our proofs.
  const recordProofs = flags.repository === undefined;
  const { name, repository, config } = await openLocation(cli, flags, { write: recordProofs, limited: true });
  const progress = new Progress(cli, flags);
  let report: CheckReport;
  try {
    report = await checkRepository(repository, {
      executor: threadedExecutor,
      readData,
      replica: name !== primaryName,
      recordProofs,
      signal: cli.signal,
      onProgress: ({ bytes, totalBytes }) => progress.update(`reading ${name}`, bytes, totalBytes),
    });
  } finally {
    progress.end();
  }
  if (config !== undefined) await noteCheck(cli, config, name, report);
  if (report.findings.length > 0) cli.exit = exitStatus.damage;
  if (flags.json === true) cli.output.json({ location: name, ...(describeReport(report) as object) });
  else print(cli, name, report);
}

function parsePart(text: string): Part {
  const match = /^(\d{1,6})\/(\d{1,6})$/.exec(text);
  const [group, of] = [Number(match?.[1]), Number(match?.[2])];
  if (group >= 1 && group <= of) return { group, of };
  throw new InvalidArgumentError("Give a part such as 1/7, from 1/7 to 7/7.");
}

function print(cli: Cli, location: string, report: CheckReport): void {
  const { output } = cli;
  const { findings, points, blobs, packs, readData, bytesRead, seconds, proofs, locked } = report;
  printFindings(cli, findings);
  const read = readData === undefined ? "" : `, ${formatBytes(bytesRead)} read and verified`;
  const what = `${count(points, "recovery point")}, ${count(blobs, "blob")}, ${count(packs, "pack")}${read}`;
  output.print(`${location}: ${what}, in ${formatAge(seconds * 1000)}`);
  if (locked !== undefined)
    output.print(`locked: ${count(locked.points, "recovery point")}, the first until ${formatTime(locked.until)} UTC`);
  if (proofs > 0) output.print(`recorded with ${count(proofs, "recovery point")}`);
  if (findings.length === 0) return output.print(output.style("green", "no damage found"));
  output.print(
    `${count(findings.length, "finding")}. \`stillpoint repair\` mends what a replica still has, and names what is lost.`,
  );
}
