import * as path from "node:path";
import { exitStatus, isStillpointError, StillpointError } from "../errors.ts";
import { nodeFiles } from "../host/node-files.ts";
import type { Config } from "../policy/config.ts";
import { loadConfig } from "../policy/load.ts";
import { type PlaceState, recoverPrimary, type RecoverReport, surveyPlace } from "../replicate/recover-primary.ts";
import { type Catalog, loadCatalog } from "../repository/points/catalog.ts";
import { newestConfig } from "../repository/points/kept-configs.ts";
import type { KeptConfig } from "../repository/points/small-objects.ts";
import type { Repository } from "../repository/repository.ts";
import { createStorage, openStorage } from "../storage/open.ts";
import type { StorageAddress } from "../storage/storage.ts";
import type { Cli, DefineVerb } from "./cli.ts";
import { count, formatAge, formatBytes, formatTime, printable } from "./format.ts";
import { type LeftToDo, leftToDo } from "./left-to-do.ts";
import { isThere, makeFile } from "./make-file.ts";
import { addKeyOptions, type LocationFlags, openLocation } from "./open-location.ts";
import { Progress, type ProgressFlags } from "./progress.ts";
import { configPath } from "./read-config.ts";
import { readText } from "./read-text.ts";
import { reportDamage } from "./report-damage.ts";

interface Flags extends Omit<LocationFlags, "location">, ProgressFlags {
  readonly repository: string;
  readonly to?: string;
}

export const define: DefineVerb = (command, cli) => {
  addKeyOptions(
    command.requiredOption(
      "--repository <place>",
      "the replica, or any copy of the repository: path, s3:// or sftp:// URL",
    ),
  )
    .option("--to <folder>", "where the repository is to be (default: where the configuration has it)")
    .option("--config <file>", "where the configuration is to be (default: where the lost host had it)")
    .option("--quiet", "print no progress")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Rebuilds what a lost host had: its repository, with every recovery point of the replica, holds, tags and keys, and its
configuration. The daemon then goes on where it had stopped. Overwrites nothing; run again after an interruption, it goes on.
It names what is left to do by hand: files with keys and passwords, which no replica has, and sources that aren't here.

Make sure first that the lost host doesn't run any more: two that write to one replica disturb each other's retention.

Examples:
  stillpoint recover --repository /mnt/usb/stillpoint --key-file repository.key
  stillpoint recover --repository 's3://recovery/web1?endpoint=https://s3.example.net' --key-file repository.key
  stillpoint recover --repository sftp://web1@backup.example.net/stillpoint --key-file repository.key --to /srv/repository`,
    )
    .action(async (flags: Flags) => await recover(cli, flags));
};

/** The configuration of the lost host, and where it is to be. */
interface Found {
  readonly kept: KeptConfig;
  readonly file: string;
  /** Whether the file is there already, with just that text. */
  readonly there: boolean;
  /** Undefined when this Stillpoint can't read it. */
  readonly config: Config | undefined;
  readonly problem: StillpointError | undefined;
}

async function recover(cli: Cli, flags: Flags): Promise<void> {
  const { repository: replica } = await openLocation(cli, flags, { write: false });
  const catalog = await loadCatalog(replica, { signal: cli.signal });
  if (catalog.points.length + catalog.damaged.length === 0) throw nothingThere(replica);
  const found = await findConfig(cli, flags, replica);
  const folder = folderOf(flags, found);
  const address = { kind: "fs", location: folder, path: folder } as const;
  const state = await survey(cli, replica, address);
  if (found?.there === false) await makeFile(found.file, found.kept.text);
  const begun = cli.clock.monotonic();
  const report = state === "there" ? undefined : await rebuild(cli, flags, { replica, catalog, address });
  const left = found?.config === undefined ? [] : await leftToDo(found.config);
  if (report !== undefined && report.failed.length + report.failedNotes.length > 0) cli.exit = exitStatus.damage;
  const outcome = { found, folder, report, left, quiet: quietSince(cli, catalog), took: cli.clock.monotonic() - begun };
  if (flags.json === true) cli.output.json(describe(replica, outcome));
  else print(cli, outcome);
  reportDamage(cli, catalog);
}

function quietSince({ clock }: Cli, { points }: Catalog): number | undefined {
  if (points.length === 0) return undefined;
  return Math.max(0, clock.now() - Math.max(...points.map(({ received }) => received)));
}

/** Of a replica whose first point has never come, or that somebody has emptied. */
function nothingThere({ storage }: Repository): StillpointError {
  return new StillpointError("not_found", {
    what: `Cannot recover anything from ${storage.location}: not one recovery point is there`,
    safe: "Nothing was changed.",
    next: "Either none was ever sent there to its end, or somebody has deleted them. Look at the other replicas; in a bucket with Object Lock, `stillpoint repair` brings back what was hidden (docs/offsite.md, Locks).",
  });
}

/** Throws `target_exists` when another file is where the configuration is to be, or a storage error. */
async function findConfig(cli: Cli, flags: Flags, replica: Repository): Promise<Found | undefined> {
  const kept = await newestConfig(replica, { signal: cli.signal });
  if (kept === undefined) return undefined;
  const file = path.resolve(flags.config ?? kept.path);
  const there = await isThere(file);
  if (there && (await readText(file, { what: "the configuration", code: "target_failed" })) !== kept.text) {
    throw new StillpointError("target_exists", {
      what: `Cannot recover the configuration to ${file}: another one is there`,
      safe: "It was left as it is, and nothing else was changed.",
      next: "Move it away, or choose another place with --config FILE.",
    });
  }
  try {
    return { kept, file, there, config: loadConfig(kept.text, file), problem: undefined };
  } catch (error) {
    if (!isStillpointError(error, "config_invalid")) throw error;
    return { kept, file, there, config: undefined, problem: error };
  }
}

function folderOf({ to }: Flags, found: Found | undefined): string {
  if (to !== undefined) return path.resolve(to);
  if (found?.config !== undefined) return found.config.repository.path;
  throw new StillpointError("usage", {
    what:
      found === undefined
        ? "Cannot tell where the repository is to be: this copy holds no configuration"
        : "Cannot tell where the repository is to be: this Stillpoint can't read the configuration of the lost host",
    safe: "Nothing was changed.",
    next: "Add --to FOLDER.",
  });
}

async function survey(cli: Cli, replica: Repository, address: StorageAddress & { path: string }): Promise<PlaceState> {
  // A storage takes an empty folder for a disk that isn't mounted; here it is what is wanted.
  if (!(await isThere(address.path)) || (await nodeFiles.list(address.path)).length === 0) return "empty";
  return await surveyPlace(replica, openStorage(address, { clock: cli.clock }), { signal: cli.signal });
}

async function rebuild(
  cli: Cli,
  flags: Flags,
  { replica, catalog, address }: { replica: Repository; catalog: Catalog; address: StorageAddress },
): Promise<RecoverReport> {
  const { clock, signal } = cli;
  const progress = new Progress(cli, flags);
  await createStorage(address);
  try {
    return await recoverPrimary({
      replica,
      catalog,
      storage: openStorage(address, { clock }),
      signal,
      onProgress: ({ bytes }) => progress.update("recovering", bytes.done, bytes.total),
    });
  } finally {
    progress.end();
  }
}

interface Outcome {
  readonly found: Found | undefined;
  readonly folder: string;
  /** Undefined when the repository was there already. */
  readonly report: RecoverReport | undefined;
  readonly left: readonly LeftToDo[];
  /** How long ago the replica was given its newest point, in ms, by this machine's clock; undefined when it has none. */
  readonly quiet: number | undefined;
  /** In ms. */
  readonly took: number;
}

function describe({ keys }: Repository, { found, folder, report, left }: Outcome): unknown {
  return {
    repository: keys.repositoryId,
    place: folder,
    made: report !== undefined,
    points: report?.replicated.length ?? 0,
    bytes_read: report?.bytesRead ?? 0,
    failed: (report?.failed ?? []).map(({ point, error }) => ({ point: point.id, error: error.message })),
    unknown: report?.unknown ?? [],
    host: found?.kept.host ?? null,
    config:
      found === undefined
        ? null
        : { place: found.file, made: !found.there, stored: found.kept.time, error: found.problem?.message ?? null },
    left,
  };
}

function print(cli: Cli, outcome: Outcome): void {
  const { output } = cli;
  const { found, folder, report, quiet, took } = outcome;
  const made = (was: boolean): string => (was ? "made  " : "there ");
  if (found !== undefined) {
    const { kept } = found;
    const since = `as ${printable(kept.host)} had it on ${formatTime(Date.parse(kept.time))} UTC`;
    output.print(`${made(!found.there)}  config       ${found.file}, ${since}`);
  }
  const copied =
    report === undefined
      ? ""
      : `: ${count(report.replicated.length, "recovery point")}, ${formatBytes(report.bytesRead)} read in ${formatAge(took)}`;
  output.print(`${made(report !== undefined)}  repository   ${folder}${copied}`);
  if (report !== undefined) printTrouble(cli, report);
  printLeft(cli, outcome);
  output.print();
  const usual = found === undefined || found.file === configPath({}, cli);
  const config = usual ? "" : ` --config ${found.file}`;
  const host = found === undefined ? "the lost host" : printable(found.kept.host);
  const sign = quiet === undefined ? "" : `; the newest point came to this copy ${formatAge(quiet)} ago`;
  output.print(
    `First make sure that ${host} is off: two hosts that write to one replica push out each other's points${sign}.`,
  );
  output.print(`Next: \`stillpoint check${config}\`, then start the daemon.`);
}

function printTrouble({ output }: Cli, { failed, failedNotes, unknown }: RecoverReport): void {
  for (const { error } of [...failed, ...failedNotes]) output.print(`failed  ${error.message}`);
  if (failed.length > 0) output.print("`stillpoint repair` fetches them when another replica has them whole.");
  if (unknown.length === 0) return;
  output.print(
    `${count(unknown.length, "earlier recovery point")}, forgotten or never sent to this copy, can't be had from it.`,
  );
}

function printLeft({ output }: Cli, { found, folder, left }: Outcome): void {
  const lines = left.map(({ what, name, place, folder: above }) => {
    const first = above === undefined ? "" : `mkdir -p ${printable(above)} && `;
    return sentences[what](printable(name), printable(place), first);
  });
  if (found === undefined)
    lines.push("write a configuration: this copy holds none (docs/operations.md, The first policy)");
  else if (found.config === undefined) lines.push(`correct the configuration: ${found.problem?.parts.what ?? ""}`);
  else if (found.config.repository.path !== folder)
    lines.push(
      `correct repository.path in ${found.file}: it says ${found.config.repository.path}, and the repository is in ${folder}`,
    );
  if (lines.length === 0) return;
  output.print();
  output.print(output.style("bold", "Left to do by hand:"));
  for (const line of lines) output.print(`  ${line}`);
}

const sentences: Readonly<Record<LeftToDo["what"], (name: string, place: string, first: string) => string>> = {
  file: (name, place) => `put back the file ${place} (${name})`,
  credential: (name, place) => `give the service the credential ${place} (${name})`,
  replica: (name, place) => `mount the disk or share of the replica ${name}: there is no folder ${place}`,
  source: (name, place, first) =>
    `bring back the source ${name}: \`${first}stillpoint restore latest --source ${name} --to ${place}\``,
  machine: (name, place) => `start the virtual machine ${name}, or restore it: there is no socket ${place}`,
  program: (name, place) => `install the program of the source ${name}: there is no ${place}`,
};
