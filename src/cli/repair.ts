import { hostname } from "node:os";
import { exitStatus, isStillpointError, StillpointError } from "../errors.ts";
import { openLocation as openConfigured, primaryName } from "../job/locations.ts";
import { threadedExecutor } from "../job/threads.ts";
import { repairRepository, type RepairReport } from "../repository/repair/repair.ts";
import type { Repository } from "../repository/repository.ts";
import type { Cli, DefineVerb } from "./cli.ts";
import { describeReport } from "./describe-report.ts";
import { count } from "./format.ts";
import { addLocationOptions, type LocationFlags, type OpenedLocation, openLocation } from "./open-location.ts";
import { printFindings } from "./print-findings.ts";
import { Progress, type ProgressFlags } from "./progress.ts";

interface Flags extends LocationFlags, ProgressFlags {
  readonly dryRun?: boolean;
  readonly replica: readonly string[];
  /** Undefined without --no-read-data: its default is set before a verb's options are known. */
  readonly readData?: false;
}

export const define: DefineVerb = (command, cli) => {
  addLocationOptions(command)
    .option("--dry-run", "show what it would do, and change nothing")
    .option(
      "--replica <place>",
      "with --repository: another copy of it, opened with the same key; may be given several times",
      (path: string, list: string[]) => [...list, path],
      [],
    )
    .option("--no-read-data", "look at the structure only, not at every stored byte")
    .option("--quiet", "print no progress")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Looks for damage as \`check --read-data\` does, and mends it: the index from the packs, lost data from the configuration's
other locations, locked objects from their locked versions. What nobody has is named, with the files and byte ranges that
it costs (exit status 4); all the rest is saved. Nothing is edited in place, and damaged packs are kept until a sweep finds that nobody needs them.

Examples:
  stillpoint repair --dry-run
  stillpoint repair --location usb
  stillpoint repair --repository /mnt/a --replica /mnt/b --key-file repository.key`,
    )
    .action(async (flags: Flags) => await repair(cli, flags));
};

async function repair(cli: Cli, flags: Flags): Promise<void> {
  const dryRun = flags.dryRun === true;
  if (flags.replica.length > 0 && flags.repository === undefined) throw replicaAlone();
  const opened = await openLocation(cli, flags, { write: !dryRun });
  const progress = new Progress(cli, flags);
  let report: RepairReport;
  try {
    report = await repairRepository(opened.repository, {
      executor: threadedExecutor,
      replicas: await openOthers(cli, flags, opened),
      replica: opened.name !== primaryName,
      readData: flags.readData === false ? undefined : { group: 1, of: 1 },
      dryRun,
      holder: `stillpoint repair on ${hostname()}, process ${process.pid}`,
      signal: cli.signal,
      onProgress: ({ bytes, totalBytes }) => progress.update(`reading ${opened.name}`, bytes, totalBytes),
    });
  } finally {
    progress.end();
  }
  if (report.lost.length > 0) cli.exit = exitStatus.damage;
  if (flags.json === true) cli.output.json({ location: opened.name, ...(describeReport(report) as object) });
  else print(cli, opened.name, report);
}

function replicaAlone(): StillpointError {
  return new StillpointError("usage", {
    what: "Cannot use --replica without --repository: the configuration names the other copies of its own repository",
    safe: "Nothing was changed.",
    next: "Add --repository PLACE, or leave --replica out.",
  });
}

/** Every other copy that can be read. One that can't be is said; the repair goes on with what there is. */
async function openOthers(cli: Cli, flags: Flags, { name: own, config }: OpenedLocation): Promise<Repository[]> {
  const { clock, environment, signal } = cli;
  const others =
    config === undefined
      ? flags.replica.map(
          (path) => async () => await openLocation(cli, { ...flags, repository: path }, { write: false }),
        )
      : [primaryName, ...config.replicas.map(({ name }) => name)]
          .filter((name) => name !== own)
          .map(
            (name) => async () => await openConfigured(config, name, { clock, environment, signal, readOnly: true }),
          );
  const repositories: Repository[] = [];
  for (const open of others) {
    try {
      repositories.push((await open()).repository);
    } catch (error) {
      if (!isStillpointError(error) || error.code === "cancelled") throw error;
      cli.output.note(`stillpoint: going on without one copy: ${error.message}`);
    }
  }
  return repositories;
}

function print(cli: Cli, location: string, report: RepairReport): void {
  const { output } = cli;
  const { dryRun, objects, indexed, dropped, salvaged, fetched, lost } = report;
  const would = dryRun ? "would be " : "";
  for (const { name, action, from } of objects) {
    output.print(`${would}${actions[action]}: ${name}${from === undefined ? "" : `, from ${from}`}`);
  }
  const lines: [number, string][] = [
    [indexed.length, `${count(indexed.length, "pack")} ${would}named in the index again`],
    [salvaged, `${count(salvaged, "blob")} ${would}copied out of damaged packs`],
    [fetched, `${count(fetched, "blob")} ${would}fetched from other copies`],
    [dropped.length, `${count(dropped.length, "pack")} ${would}taken out of the index`],
  ];
  const done = lines.filter(([number]) => number > 0);
  for (const [, line] of done) output.print(line);
  printFindings(cli, lost);
  if (lost.length > 0) {
    output.print(
      `${location}: ${count(lost.length, "finding")} that no copy can mend; all the rest ${dryRun ? "can be" : "is"} saved`,
    );
  } else if (objects.length + done.length === 0) output.print(`${location}: nothing to repair`);
  else output.print(`${location}: ${dryRun ? "can be repaired" : "repaired"}, nothing is lost`);
}

const actions: Readonly<Record<RepairReport["objects"][number]["action"], string>> = {
  uncover: "brought back from its locked version",
  restore: "brought back",
  remove: "removed, since nobody needs it",
  renew: "made anew",
  lost: "left as it is",
};
