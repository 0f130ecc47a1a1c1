/** What `recover` says at its end. */
import type { PlaceState, RecoverReport } from "../replicate/recover-primary.ts";
import type { StillpointError } from "../errors.ts";
import type { Config } from "../policy/config.ts";
import type { CatalogPoint } from "../repository/points/catalog.ts";
import type { KeptConfig } from "../repository/points/small-objects.ts";
import type { Repository } from "../repository/repository.ts";
import type { Cli } from "./cli.ts";
import { count, formatAge, formatBytes, formatTime, printable } from "./format.ts";
import type { LeftToDo } from "./left-to-do.ts";
import { configPath } from "./read-config.ts";

/** The configuration of the lost host, and where it is to be. */
export interface FoundConfig {
  readonly kept: KeptConfig;
  readonly file: string;
  /** What is in that file already; undefined when it isn't there. */
  readonly there: string | undefined;
  /** As the file has it, or will have it. Undefined when this Stillpoint can't read it. */
  readonly config: Config | undefined;
  readonly problem: StillpointError | undefined;
}

export interface Recovery {
  readonly found: FoundConfig | undefined;
  readonly folder: string;
  readonly state: PlaceState;
  /** Undefined when nothing was copied, because the repository was there already. */
  readonly report: RecoverReport | undefined;
  /** What a repository that was there already lacked of the copy's points. */
  readonly missing: readonly CatalogPoint[];
  readonly left: readonly LeftToDo[];
  /** How long ago the replica was given its newest point, in ms, by this machine's clock; undefined when it has none. */
  readonly quiet: number | undefined;
  /** In ms. */
  readonly took: number;
}

export function describeRecovery(
  { keys }: Repository,
  { found, folder, state, report, missing, left }: Recovery,
): unknown {
  return {
    repository: keys.repositoryId,
    place: folder,
    made: state !== "there",
    points: report?.replicated.length ?? 0,
    bytes_read: report?.bytesRead ?? 0,
    failed: (report?.failed ?? []).map(({ point, error }) => ({ point: point.id, error: error.message })),
    unknown: report?.unknown ?? [],
    missing: report === undefined ? missing.map(({ id }) => id) : [],
    host: found?.kept.host ?? null,
    config:
      found === undefined
        ? null
        : {
            place: found.file,
            made: found.there === undefined,
            stored: found.kept.time,
            error: found.problem?.message ?? null,
          },
    left,
  };
}

export function printRecovery(cli: Cli, recovery: Recovery): void {
  const { output } = cli;
  const { found, folder, state, report, missing, quiet, took } = recovery;
  const made = (was: boolean): string => (was ? "made  " : "there ");
  if (found !== undefined) {
    const { kept, there = kept.text } = found;
    const since = `, as ${printable(kept.host)} had it on ${formatTime(Date.parse(kept.time))} UTC`;
    output.print(`${made(found.there === undefined)}  config       ${found.file}${there === kept.text ? since : ""}`);
  }
  const copied =
    report === undefined
      ? ""
      : `: ${count(report.replicated.length, "recovery point")}, ${formatBytes(report.bytesRead)} read in ${formatAge(took)}`;
  output.print(`${made(state !== "there")}  repository   ${folder}${copied}`);
  if (report !== undefined) printTrouble(cli, report);
  else printMissing(cli, missing);
  printLeft(cli, recovery);
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
  if (failed.length > 0)
    output.print("`stillpoint recover --missing`, from another copy, adds those that it has whole.");
  if (unknown.length === 0) return;
  output.print(
    `${count(unknown.length, "earlier recovery point")}, forgotten or never sent to this copy, can't be had from it.`,
  );
}

function printMissing({ output }: Cli, missing: readonly CatalogPoint[]): void {
  const newest = missing.at(-1);
  if (newest === undefined) return;
  const { source, time } = newest.manifest;
  output.print(
    `This copy has ${count(missing.length, "recovery point")} that the repository lacks, the newest ${newest.id.slice(0, 8)} of ${printable(source)} (${formatTime(Date.parse(time))} UTC). Nothing there says that they were forgotten; that isn't noted for ever. The same command with --missing adds them.`,
  );
}

function printLeft({ output }: Cli, { found, folder, left }: Recovery): void {
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
