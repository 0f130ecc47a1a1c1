import { homedir } from "node:os";
import * as path from "node:path";
import { type Command, Option } from "commander";
import { exitStatus, isStillpointError } from "../errors.ts";
import { commandOf, moduleBeside } from "../host/module-beside.ts";
import { findBoot, type ListedBoot, listBoots, stopBoot } from "../restore/boot/boots.ts";
import { startSupervisor, type SupervisorWords } from "../restore/boot/start-supervisor.ts";
import { startedBoot, supervise } from "../restore/boot/supervise.ts";
import { toPlainError } from "../repository/threads/worker-protocol.ts";
import type { Cli, DefineVerb } from "./cli.ts";
import { loadPoint, pointHelp, shortIds } from "./find-points.ts";
import { formatAge, formatTime, printable } from "./format.ts";
import { loadStore } from "./load-store.ts";
import { addConfigOption, addLocationOptions, type LocationFlags, openLocation } from "./open-location.ts";
import { Progress, type ProgressFlags } from "./progress.ts";
import { type ConfigFlags, readConfig } from "./read-config.ts";
import { formatTable } from "./table.ts";

interface PlaceFlags extends ConfigFlags {
  readonly state?: string;
  readonly json?: boolean;
}

interface Flags extends LocationFlags, PlaceFlags, ProgressFlags {
  readonly source?: string;
  readonly cold?: boolean;
  readonly paused?: boolean;
  readonly keep?: boolean;
  readonly stay?: boolean;
  readonly network: "isolated" | "keep";
}

interface SuperviseFlags extends Flags {
  readonly folder: string;
  readonly started: string;
}

export const define: DefineVerb = (command, cli) => {
  command.enablePositionalOptions();
  defineBoot(command.argument("<id>", pointHelp))
    .option("--state <folder>", "where the machine's folder is made (default: the state folder)")
    .option("--quiet", "print no progress")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Starts the virtual machine again, as it was at the captured instant, in about a second whatever its size: its disks and
memory are read from the repository (or a replica) when they are touched, and what it writes goes to files in a folder of its own.
A point can be booted any number of times at once. The machine runs until it is shut down, or stopped by \`boot stop\`.

With --stay everything is copied into its own process and files while it runs. \`boot list\` shows it as \`settling\`, and as \`settled\` when
nothing of Stillpoint is needed any more: it then runs on until it is shut down, or stopped, and can be protected again by its QMP
socket. Its disks stay in its folder until \`boot stop\`.

Its network leads nowhere, unless --network keep: two of one machine must not meet. The point isn't forgotten while the machine needs it.

Also: stillpoint boot list, stillpoint boot stop NAME

Examples:
  stillpoint boot 3f5a91c2
  stillpoint boot latest --source web --cold --network keep
  stillpoint boot latest --source web --repository /mnt/usb/stillpoint --key-file repository.key`,
    )
    .action(async (id: string, flags: Flags) => await boot(cli, id, flags));

  addPlace(command.command("list"))
    .summary("list booted machines")
    .description("Lists the machines that were booted from recovery points.")
    .addHelpText("after", "\nExample:\n  stillpoint boot list")
    .action(async (flags: PlaceFlags) => await list(cli, flags));

  addPlace(command.command("stop").argument("<name>", "as `boot list` shows it, or its beginning"))
    .summary("end a booted machine")
    .description("Ends a booted machine at once, and removes what it wrote (unless it was booted with --keep).")
    .addHelpText("after", "\nExample:\n  stillpoint boot stop 7d1e42aa")
    .action(async (name: string, flags: PlaceFlags) => await stop(cli, name, flags));

  defineBoot(command.command("supervise", { hidden: true }).argument("<id>"))
    .requiredOption("--folder <folder>")
    .requiredOption("--started <time>")
    .action(async (id: string, flags: SuperviseFlags) => await superviseHere(cli, id, flags));
};

function defineBoot(command: Command): Command {
  return addLocationOptions(command)
    .option("--source <name>", "with `latest` or a time: of which source")
    .option("--cold", "start from the disks alone, as after a loss of power")
    .option("--paused", "stay at the instant until QMP says `cont`")
    .addOption(
      new Option("--network <network>", "cut off from the world, or as it was")
        .choices(["isolated", "keep"])
        .default("isolated"),
    )
    .option("--stay", "copy all of it meanwhile, so that the machine needs Stillpoint no more when it has settled")
    .option("--keep", "keep what the machine wrote when it has ended");
}

function addPlace(command: Command): Command {
  return addConfigOption(command)
    .option("--state <folder>", "where the machines' folders are (default: the state folder)")
    .option("--json", "print JSON");
}

/** The folder of all boots: below the configuration's state folder; without a configuration, in the usual place of this user. */
async function baseOf(cli: Cli, flags: PlaceFlags & Pick<LocationFlags, "repository">): Promise<string> {
  return path.resolve(flags.state ?? (await stateOf(cli, flags)), "boots");
}

async function stateOf(cli: Cli, flags: PlaceFlags & Pick<LocationFlags, "repository">): Promise<string> {
  try {
    if (flags.repository === undefined) return (await readConfig(flags, cli)).repository.state;
  } catch (error) {
    if (!isStillpointError(error, "config_missing") || flags.config !== undefined) throw error;
  }
  if (process.geteuid?.() === 0) return "/var/lib/stillpoint/state";
  return path.join(cli.environment["XDG_STATE_HOME"] ?? path.join(homedir(), ".local", "state"), "stillpoint");
}

const main = moduleBeside(import.meta.url, "main");

async function boot(cli: Cli, id: string, flags: Flags): Promise<void> {
  const begun = cli.clock.monotonic();
  const started = new Date(cli.clock.now());
  const progress = new Progress(cli, flags);
  const booted = await startSupervisor({
    base: await baseOf(cli, flags),
    keep: flags.keep === true,
    stay: flags.stay === true,
    started,
    command: (folder) => [
      ...commandOf(main),
      "boot",
      "supervise",
      id,
      ...argumentsFor(flags),
      `--folder=${folder}`,
      `--started=${started.toISOString()}`,
    ],
    onProgress: (done, total) => progress.update("bringing its memory", done, total),
    signal: cli.signal,
  }).finally(() => progress.end());
  const seconds = Math.round(cli.clock.monotonic() - begun) / 1000;
  if (flags.json === true) return cli.output.json({ ...booted, ready_seconds: seconds });
  cli.output.print(
    `${booted.boot}: ${printable(booted.source)} ${flags.paused === true ? "is there" : "runs"} after ${seconds} s`,
  );
  cli.output.print(`  QMP     ${booted.qmp}`);
  for (const serial of booted.serial) cli.output.print(`  serial  ${serial}`);
  cli.output.print(`\`stillpoint boot stop ${booted.boot}\` ends it.`);
}

/** Secrets aren't among them: only the names of their files. */
function argumentsFor(flags: Flags): string[] {
  const { config, location, repository, keyFile, passphraseFile, ageIdentity, source, network } = flags;
  const valued = Object.entries({
    config,
    location,
    repository,
    "key-file": keyFile?.[0],
    "passphrase-file": passphraseFile,
    "age-identity": ageIdentity,
    source,
    network,
  }).flatMap(([name, value]) => (value === undefined ? [] : [`--${name}=${value}`]));
  const plain = (["cold", "paused", "keep", "stay"] as const)
    .filter((name) => flags[name] === true)
    .map((name) => `--${name}`);
  return [...valued, ...plain];
}

/** In ms, between two words about how far it is. */
const progressInterval = 100;

/** Says how far it is, and when the machine is there, or can't be; goes on until it has ended. */
async function superviseHere(cli: Cli, id: string, flags: SuperviseFlags): Promise<void> {
  let ready = false;
  let told = Number.NEGATIVE_INFINITY;
  const say = (words: SupervisorWords): void => cli.output.print(JSON.stringify(words));
  try {
    await supervise({
      folder: flags.folder,
      keep: flags.keep === true,
      stay: flags.stay === true,
      cold: flags.cold === true,
      paused: flags.paused === true,
      network: flags.network,
      started: new Date(flags.started),
      clock: cli.clock,
      signal: cli.signal,
      onFailure: (message) => cli.output.note(`stillpoint: ${message}`),
      onProgress: (done, total) => {
        if (ready || cli.clock.monotonic() - told < progressInterval) return;
        told = cli.clock.monotonic();
        say({ progress: { done, total } });
      },
      open: async (moved, signal) => {
        const { output, clock, environment, exit } = cli;
        const opening = { output, clock, environment, exit, signal };
        const { repository } = await openLocation(opening, flags, { write: true, moved });
        const point = await loadPoint(opening, repository, id, flags);
        const store = await loadStore(opening, repository);
        // Whoever began this may want to unmount what is here.
        process.chdir("/");
        return { repository, store, point };
      },
      onReady: (started) => {
        ready = true;
        say({ ready: started });
      },
    });
  } catch (error) {
    if (ready) throw error;
    say({ error: toPlainError(error) });
    cli.exit = exitStatus.failed;
  }
}

async function list(cli: Cli, flags: PlaceFlags): Promise<void> {
  const boots = await listBoots(await baseOf(cli, flags));
  if (flags.json === true) {
    cli.output.json(
      boots.map(({ paths, record, state }) => ({ ...startedBoot(paths, record), state, started: record.started })),
    );
    return;
  }
  if (boots.length === 0) return cli.output.print("No machine is booted.");
  const short = shortIds(boots.flatMap(({ record }) => record.id ?? []));
  const rows = boots.map(({ paths, record, state }) => [
    record.boot,
    printable(record.source ?? ""),
    record.id === null ? "" : short(record.id),
    state,
    formatTime(Date.parse(record.started)),
    formatAge(cli.clock.now() - Date.parse(record.started)),
    paths.folder,
  ]);
  const columns = ["BOOT", "SOURCE", "POINT", "STATE", "STARTED (UTC)", "AGE", "FOLDER"].map((title) => ({ title }));
  const [title = "", ...lines] = formatTable(columns, rows, cli.output.width);
  cli.output.print(cli.output.style("bold", title));
  for (const line of lines) cli.output.print(line);
  for (const { record } of boots.filter(({ state }) => state === "lost")) {
    cli.output.note(
      `${record.boot} can't go on: the process that brought it its memory and disks died before it had all of them. End it with \`stillpoint boot stop ${record.boot}\`, and boot the recovery point again.`,
    );
  }
}

async function stop(cli: Cli, name: string, flags: PlaceFlags): Promise<void> {
  const found = await findBoot(await baseOf(cli, flags), name);
  await stopBoot(found, cli.signal);
  const kept = found.record.keep && found.state !== "ended";
  if (flags.json === true) cli.output.json({ boot: found.record.boot, dir: kept ? found.paths.folder : null });
  else cli.output.print(said(found, kept));
}

function said({ record, paths, state }: ListedBoot, kept: boolean): string {
  if (state === "ended") return `${record.boot} had ended; its folder is removed.`;
  return kept
    ? `${record.boot} has ended. What it wrote is in ${paths.folder}`
    : `${record.boot} has ended, and nothing is left of it.`;
}
