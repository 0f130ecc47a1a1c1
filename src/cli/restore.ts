import { Option } from "commander";
import { type ErrorCode, exitStatus, isStillpointError, StillpointError } from "../errors.ts";
import { threadedExecutor } from "../job/threads.ts";
import { restorePoint } from "../restore/restore-point.ts";
import type { RestoreReport } from "../restore/report.ts";
import type { Cli, DefineVerb } from "./cli.ts";
import { describeReport } from "./describe-report.ts";
import { loadPoint, pointHelp } from "./find-points.ts";
import { count, formatAge, formatBytes, formatRange, formatTime, printable } from "./format.ts";
import { loadStore } from "./load-store.ts";
import { addLocationOptions, type LocationFlags, type OpenedLocation, openLocation } from "./open-location.ts";
import { Progress, type ProgressFlags } from "./progress.ts";
import { readConfig } from "./read-config.ts";

interface Flags extends LocationFlags, ProgressFlags {
  readonly to: string;
  readonly path: readonly string[];
  readonly source?: string;
  readonly keepGoing?: boolean;
  readonly format: "raw" | "qcow2";
  readonly network: "isolated" | "keep";
}

export const define: DefineVerb = (command, cli) => {
  addLocationOptions(command.argument("<id>", pointHelp))
    .requiredOption("--to <path>", "what it becomes: a folder, or a file for an image or a command's output")
    .option(
      "--path <path>",
      "only this of a directory: relative to it, or its path on the host; may be given several times",
      (path: string, list: string[]) => [...list, path],
      [],
    )
    .option("--source <name>", "with `latest` or a time: of which source")
    .addOption(new Option("--format <format>", "of a virtual machine's disks").choices(["raw", "qcow2"]).default("raw"))
    .addOption(
      new Option("--network <network>", "of a virtual machine: cut off from the world, or as it was")
        .choices(["isolated", "keep"])
        .default("isolated"),
    )
    .option("--keep-going", "give the result its name even if something in it is damaged")
    .option("--quiet", "print no progress")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
The target must not exist. It appears when it is complete; until then the work is done beside it, and goes on where it
was when the same restore is begun again. Everything is verified. Where something is damaged the rest is restored, and
each missing range is named (exit status 4).

A virtual machine becomes a folder with its disks and its launch.sh, which resumes it there exactly where it was; with memory
not captured, it boots. Arguments of launch.sh are passed on to QEMU: -S stays paused at the instant.

Examples:
  stillpoint restore 3f5a91c2 --to /srv/restored
  stillpoint restore latest --source etc --path ssh --path fstab --to /tmp/etc
  stillpoint restore latest --source disk --location usb --to /var/lib/disk.raw
  stillpoint restore latest --source web --to /srv/web && /srv/web/launch.sh

On an empty machine, from a replica with the key alone:
  stillpoint restore latest --source etc --to /mnt/etc --repository /mnt/usb/stillpoint --key-file repository.key`,
    )
    .action(async (id: string, flags: Flags) => await restore(cli, id, flags));
};

async function restore(cli: Cli, id: string, flags: Flags): Promise<void> {
  const { repository } = await openOrAdvise(cli, flags);
  const point = await loadPoint(cli, repository, id, flags);
  const store = await loadStore(cli, repository);
  const progress = new Progress(cli, flags);
  const begun = cli.clock.monotonic();
  let report: RestoreReport;
  try {
    report = await restorePoint({
      store,
      executor: threadedExecutor,
      point,
      target: flags.to,
      paths: flags.path,
      keepGoing: flags.keepGoing,
      format: flags.format,
      network: flags.network,
      signal: cli.signal,
      progress: ({ done, total }) => progress.update(point.manifest.source, done, total),
    });
  } finally {
    progress.end();
  }
  cli.exit = exitOf(report);
  if (flags.json === true) return cli.output.json({ id: point.id, ...(describeReport(report) as object) });
  const { source, kind } = point.manifest;
  const took = formatAge(cli.clock.monotonic() - begun);
  cli.output.print(`${printable(source)} of ${formatTime(point.time)} UTC: ${summary(report)} in ${took}`);
  print(cli, report);
  if (kind === "vm" && cli.exit === exitStatus.ok) cli.output.print(`It goes on with ${report.place}/launch.sh`);
}

/** With the same key another location may open. */
const mendedElsewhere: ReadonlySet<ErrorCode> = new Set([
  "storage_unreachable",
  "storage_failed",
  "storage_denied",
  "repository_missing",
  "damaged",
]);

/** Whoever restores has lost something already, and should hear at once where else it is. */
async function openOrAdvise(cli: Cli, flags: Flags): Promise<OpenedLocation> {
  try {
    return await openLocation(cli, flags, { write: false });
  } catch (error) {
    if (!isStillpointError(error) || flags.repository !== undefined || !mendedElsewhere.has(error.code)) throw error;
    const { replicas } = await readConfig(flags, cli);
    const elsewhere = replicas.map(({ name }) => name).filter((name) => name !== flags.location);
    if (elsewhere.length === 0) throw error;
    const advice = `To restore from a replica: add --location ${elsewhere.join(", or --location ")}.`;
    const { next, ...parts } = error.parts;
    throw new StillpointError(error.code, { ...parts, next: next === undefined ? advice : `${next} ${advice}` });
  }
}

function exitOf({ complete, shortfalls, problems }: RestoreReport): number {
  if (!complete) return exitStatus.damage;
  return shortfalls.length + problems.length === 0 ? exitStatus.ok : exitStatus.partial;
}

function summary({ files, folders, bytes, bytesInPlace }: RestoreReport): string {
  const parts = [count(files, "file"), ...(folders > 0 ? [count(folders, "folder")] : []), formatBytes(bytes)];
  const there = bytesInPlace === 0 ? "" : ` (${formatBytes(bytesInPlace)} were there from before)`;
  return `${parts.join(", ")}${there}`;
}

function print({ output }: Cli, { place, complete, damaged, shortfalls, problems }: RestoreReport): void {
  for (const problem of problems) output.print(printable(problem));
  for (const { what, count: times, example } of shortfalls) {
    output.print(`not brought back: ${what} (${times}), first for ${printable(example) || "the folder itself"}`);
  }
  for (const { path, path64, offset, length, reason } of damaged) {
    const name = printable(path ?? Buffer.from(path64 ?? "", "base64").toString());
    const range = offset === undefined ? "all that is in it" : formatRange(offset, length ?? 0);
    output.print(`${output.style("red", "DAMAGED")}: ${name || "the target"}: ${range}: ${reason}`);
  }
  output.print(`restored to ${place}`);
  if (complete) return;
  output.print(
    "The rest is whole. Try another location (--location), or `stillpoint repair` and then the same again: it",
  );
  output.print("fetches only what is missing. To take it as it is, with zeros where the damage is, add --keep-going.");
}
