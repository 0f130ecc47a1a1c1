import * as path from "node:path";
import { exitStatus, isStillpointError, StillpointError } from "../errors.ts";
import { nodeFiles } from "../host/node-files.ts";
import { loadConfig } from "../policy/load.ts";
import {
  missingPoints,
  type PlaceState,
  recoverMissing,
  type RecoverOptions,
  recoverPrimary,
  type RecoverReport,
  surveyPlace,
} from "../replicate/recover-primary.ts";
import { type Catalog, loadCatalog } from "../repository/points/catalog.ts";
import { newestConfig } from "../repository/points/kept-configs.ts";
import type { Repository } from "../repository/repository.ts";
import { createStorage, openStorage } from "../storage/open.ts";
import type { StorageAddress } from "../storage/storage.ts";
import type { Cli, DefineVerb } from "./cli.ts";
import { leftToDo } from "./left-to-do.ts";
import { isThere, makeFile } from "./make-file.ts";
import { addKeyOptions, type LocationFlags, openLocation } from "./open-location.ts";
import { describeRecovery, type FoundConfig, printRecovery } from "./print-recovery.ts";
import { Progress, type ProgressFlags } from "./progress.ts";
import { readText } from "./read-text.ts";
import { reportDamage } from "./report-damage.ts";
import { usualGrace } from "./usual-grace.ts";

interface Flags extends Omit<LocationFlags, "location">, ProgressFlags {
  readonly repository: string;
  readonly to?: string;
  readonly missing?: boolean;
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
    .option("--missing", "add what a repository that is there already neither has nor knows to be forgotten")
    .option("--quiet", "print no progress")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Rebuilds what a lost host had: its repository, with every recovery point of the replica, holds, tags and keys, and its
configuration. The daemon then goes on where it had stopped. Overwrites nothing; run again after an interruption, it goes on.
What this copy has damaged is named, and the rest recovered (exit status 4): \`recover --missing\` from another copy adds it. Where the
repository is there, it says how many points of this copy that lacks (exit status 3), and adds them with --missing only.
It names what is left to do by hand: files with keys and passwords, which no replica has, and sources that aren't here.

Make sure first that the lost host doesn't run any more: two that write to one replica disturb each other's retention.

Examples:
  stillpoint recover --repository /mnt/usb/stillpoint --key-file repository.key
  stillpoint recover --repository 's3://recovery/web1?endpoint=https://s3.example.net' --key-file repository.key
  stillpoint recover --repository sftp://web1@backup.example.net/stillpoint --key-file repository.key --to /srv/repository
  stillpoint recover --missing --repository /mnt/second/stillpoint --key-file repository.key`,
    )
    .action(async (flags: Flags) => await recover(cli, flags));
};

async function recover(cli: Cli, flags: Flags): Promise<void> {
  const { repository: replica } = await openLocation(cli, flags, { write: false });
  const catalog = await loadCatalog(replica, { signal: cli.signal });
  if (catalog.points.length + catalog.damaged.length === 0) throw nothingThere(replica);
  const found = await findConfig(cli, flags, replica);
  const folder = folderOf(flags, found);
  const address = { kind: "fs", location: folder, path: folder } as const;
  const state = await survey(cli, replica, address);
  if (flags.missing === true && state !== "there") throw notThere(folder);
  if (found !== undefined && found.there === undefined) await makeFile(found.file, found.kept.text);
  const work = { replica, catalog, storage: openStorage(address, { clock: cli.clock }), signal: cli.signal };
  const missing = state === "there" ? await missingPoints(work) : [];
  const begun = cli.clock.monotonic();
  if (state !== "there") await createStorage(address);
  const copies = state !== "there" || flags.missing === true;
  const report = copies ? await copy(cli, flags, { work, state, found }) : undefined;
  if (report === undefined && missing.length > 0) cli.exit = exitStatus.partial;
  if (report !== undefined && report.failed.length + report.failedNotes.length > 0) cli.exit = exitStatus.damage;
  const left = found?.config === undefined ? [] : await leftToDo(found.config);
  const took = cli.clock.monotonic() - begun;
  const recovery = { found, folder, state, report, missing, left, quiet: quietSince(cli, catalog), took };
  if (flags.json === true) cli.output.json(describeRecovery(replica, recovery));
  else printRecovery(cli, recovery);
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

function notThere(folder: string): StillpointError {
  return new StillpointError("repository_missing", {
    what: `Cannot add recovery points to the repository in ${folder}: it isn't there, or not complete`,
    safe: "Nothing was changed.",
    next: "Recover it first, without --missing; or say with --to where it is.",
  });
}

/**
 * A file that is there must have just that text, unless points alone are to be added: then it is the host's own by now. Throws
 * `target_exists`, or a storage error.
 */
async function findConfig(cli: Cli, flags: Flags, replica: Repository): Promise<FoundConfig | undefined> {
  const kept = await newestConfig(replica, { signal: cli.signal });
  if (kept === undefined) return undefined;
  const file = path.resolve(flags.config ?? kept.path);
  const there = (await isThere(file))
    ? await readText(file, { what: "the configuration", code: "target_failed" })
    : undefined;
  if (there !== undefined && there !== kept.text && flags.missing !== true) {
    throw new StillpointError("target_exists", {
      what: `Cannot recover the configuration to ${file}: another one is there`,
      safe: "It was left as it is, and nothing else was changed.",
      next: "Move it away, or choose another place with --config FILE.",
    });
  }
  try {
    return { kept, file, there, config: loadConfig(there ?? kept.text, file), problem: undefined };
  } catch (error) {
    if (!isStillpointError(error, "config_invalid")) throw error;
    return { kept, file, there, config: undefined, problem: error };
  }
}

function folderOf({ to }: Flags, found: FoundConfig | undefined): string {
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

async function copy(
  cli: Cli,
  flags: Flags,
  { work, state, found }: { work: RecoverOptions; state: PlaceState; found: FoundConfig | undefined },
): Promise<RecoverReport> {
  const progress = new Progress(cli, flags);
  const options: RecoverOptions = {
    ...work,
    onProgress: ({ bytes }) => progress.update("recovering", bytes.done, bytes.total),
  };
  try {
    if (state !== "there") return await recoverPrimary(options);
    // The daemon may be at work there.
    return await recoverMissing({ ...options, grace: found?.config?.maintenance.grace ?? usualGrace });
  } finally {
    progress.end();
  }
}
