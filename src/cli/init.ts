import { hostname } from "node:os";
import * as path from "node:path";
import { describeError, exitStatus, isStillpointError, StillpointError } from "../errors.ts";
import { throwIfCancelled } from "../host/cancel.ts";
import {
  addressOfPrimary,
  addressOfReplica,
  connectReplica,
  type Location,
  openPrimary,
  primaryName,
  replicaNamed,
} from "../job/locations.ts";
import { readSecret } from "../job/read-secret.ts";
import type { Config } from "../policy/config.ts";
import { configSchemaText } from "../policy/json-schema.ts";
import { newKeyFile, type NewKey } from "../repository/keys/key-objects.ts";
import { createRepository, exists } from "../repository/repository.ts";
import { createStorage, openStorage } from "../storage/open.ts";
import { placeOf } from "../storage/place-of.ts";
import type { StorageAddress } from "../storage/storage.ts";
import type { Cli, DefineVerb } from "./cli.ts";
import { isThere, makeFile } from "./make-file.ts";
import { addConfigOption } from "./open-location.ts";
import { type ConfigFlags, configPath, readConfig } from "./read-config.ts";
import { schemaFile, starterConfig } from "./starter-config.ts";

interface Flags extends ConfigFlags {
  readonly repository: string;
  readonly systemd?: boolean;
  readonly json?: boolean;
}

/** One thing that there should be afterwards. */
interface Step {
  readonly what: "config" | "schema" | "key" | "repository" | "replica" | "sheet";
  /** A path, or the name of a systemd credential. */
  readonly place: string;
  /** Made just now; false: it was there, and was left as it is. */
  readonly made: boolean;
  readonly name?: string;
  readonly error?: string;
}

export const define: DefineVerb = (command, cli) => {
  addConfigOption(command)
    .option("--repository <path>", "where a new configuration puts the repository", "/var/lib/stillpoint/repository")
    .option("--systemd", "for the service: writes a recovery sheet too, and says how to start it")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Makes what is missing, and never overwrites: the configuration (a small one to begin with), the key file it names, the
repository, and the replicas. Run it again after adding a replica, or whenever you like: what is there stays as it is.

Examples:
  stillpoint init
  stillpoint init --systemd
  stillpoint init --config ./stillpoint.yaml --repository ./repository`,
    )
    .action(async (flags: Flags) => await init(cli, flags, command.getOptionValueSource("repository") === "cli"));
};

async function init(cli: Cli, flags: Flags, placed: boolean): Promise<void> {
  const steps = await makeConfig(cli, flags);
  const config = await readConfig(flags, cli);
  if (placed) refuseOtherPlace(cli, flags, config);
  const there = await hasRepository(config);
  if (!there) {
    await refuseSecond(cli, config);
    await makePlace(cli, config);
  }
  const key = await makeKey(config, there);
  if (key !== undefined) steps.push(key);
  const primary = await makePrimary(cli, config, there);
  steps.push({ what: "repository", place: config.repository.path, made: !there });
  for (const replica of config.replicas) steps.push(await makeReplica(cli, config, primary, replica.name));
  if (flags.systemd === true) steps.push(await makeSheetOnce(cli, flags, config, primary));
  if (steps.some(({ error }) => error !== undefined)) cli.exit = exitStatus.partial;
  if (flags.json === true) cli.output.json({ repository: primary.repository.keys.repositoryId, steps });
  else report(cli, flags, steps);
}

async function makeConfig(cli: Cli, flags: Flags): Promise<Step[]> {
  const file = configPath(flags, cli);
  if (await isThere(file)) return [{ what: "config", place: file, made: false }];
  const folder = path.dirname(file);
  const key = path.join(folder, "repository.key");
  await makeFile(file, starterConfig({ repository: path.resolve(flags.repository), key }));
  const schema = path.join(folder, schemaFile);
  const lacks = !(await isThere(schema));
  if (lacks) await makeFile(schema, configSchemaText());
  return [
    { what: "config", place: file, made: true },
    { what: "schema", place: schema, made: lacks },
  ];
}

/** Only a new configuration takes the place from the command line. */
function refuseOtherPlace(cli: Cli, flags: Flags, { repository }: Config): void {
  const asked = path.resolve(flags.repository);
  if (asked === repository.path) return;
  const file = configPath(flags, cli);
  throw new StillpointError("usage", {
    what: `Cannot put the repository in ${asked}: ${file} is there already, and says ${repository.path}`,
    safe: "Nothing was made.",
    next: "Leave --repository out, or name another place for a new configuration with --config.",
  });
}

async function hasRepository(config: Config): Promise<boolean> {
  return await isThere(path.join(config.repository.path, "format"));
}

/** Where a replica has this host's repository, the primary isn't new but lost, or on a disk that isn't mounted. */
async function refuseSecond(cli: Cli, config: Config): Promise<void> {
  for (const replica of config.replicas) {
    const address = addressOfReplica(replica);
    // One that can't be looked at now is told of when it is to be made.
    const there = await isRepository(address, cli).catch(() => false);
    throwIfCancelled(cli.signal);
    if (!there) continue;
    throw new StillpointError("repository_exists", {
      what: `Cannot make a repository in ${config.repository.path}: ${replica.name}, named as its replica, has one already`,
      safe: "Nothing was made.",
      next: `If that is this host's, mount the disk of the repository, or rebuild it with \`stillpoint recover --repository '${placeOf(address)}'\` (docs/disaster.md). If it is another host's, or this one is to begin anew, give the replica a place of its own.`,
    });
  }
}

/** A key file that lacks is made only for a repository that isn't there yet: no other key opens one that is. */
async function makeKey({ repository }: Config, there: boolean): Promise<Step | undefined> {
  const { key } = repository;
  if (key.kind === "key_credential") return undefined;
  const found = await isThere(key.path);
  if (!found && key.kind === "key_file" && !there) {
    await makeFile(key.path, newKeyFile().text);
    return { what: "key", place: key.path, made: true };
  }
  // What lacks now is named with its place by whoever opens the repository.
  return found ? { what: "key", place: key.path, made: false } : undefined;
}

/** Before a key is made: one that opens nothing, in the place of the right one, would only mislead. */
async function makePlace({ clock, signal }: Cli, config: Config): Promise<void> {
  const address = addressOfPrimary(config);
  await createStorage(address);
  const storage = openStorage(address, { clock });
  for await (const { name } of storage.list("", { signal })) {
    // A key alone is what an init that was cut off left.
    if (name.startsWith("keys/")) continue;
    throw new StillpointError("repository_exists", {
      what: `Cannot make a repository in ${config.repository.path}: it holds ${name}, but no object \`format\``,
      safe: "Nothing was changed there.",
      next: "If it was being recovered, run `stillpoint recover` again; if it is a repository, bring `format` back from a replica; else choose an empty folder.",
    });
  }
}

async function makePrimary(cli: Cli, config: Config, there: boolean): Promise<Location> {
  const { clock, signal, environment } = cli;
  if (there) return await openPrimary(config, { clock, signal, environment });
  const secret = await readSecret(config.repository.key, { environment });
  const address = addressOfPrimary(config);
  const storage = openStorage(address, { clock });
  const key = secret as Extract<typeof secret, NewKey>;
  return { name: primaryName, repository: await createRepository({ storage, clock, key, label: hostname(), address }) };
}

async function makeReplica(cli: Cli, config: Config, primary: Location, name: string): Promise<Step> {
  const { clock, signal, environment } = cli;
  const address = addressOfReplica(replicaNamed(config, name));
  const step = { what: "replica", name, place: placeOf(address) } as const;
  try {
    const there = await isRepository(address, cli);
    await connectReplica(config, primary, name, { clock, signal, environment });
    return { ...step, made: !there };
  } catch (error) {
    if (!isStillpointError(error) || error.code === "cancelled") throw error;
    return { ...step, made: false, error: describeError(error) };
  }
}

async function makeSheetOnce(cli: Cli, flags: Flags, config: Config, { repository }: Location): Promise<Step> {
  const { makeSheet, sheetFiles } = await import("./make-sheet.ts");
  const folder = path.dirname(configPath(flags, cli));
  const place = sheetFiles(folder).page;
  if (await isThere(place)) return { what: "sheet", place, made: false };
  await makeSheet(cli, config, repository, folder);
  return { what: "sheet", place, made: true };
}

async function isRepository(address: StorageAddress, { clock, signal }: Cli): Promise<boolean> {
  // A folder that isn't there yet is nothing to try again for.
  if (address.kind === "fs") return await isThere(path.join(address.path, "format"));
  try {
    return await exists(openStorage(address, { clock }), "format", { signal });
  } catch (error) {
    // It may lack as a whole. If something else ails it, that shows when it is made.
    if (isStillpointError(error, "storage_unreachable")) return false;
    throw error;
  }
}

function report(cli: Cli, flags: Flags, steps: readonly Step[]): void {
  const { output } = cli;
  for (const { what, name, place, made, error } of steps) {
    const thing = name === undefined ? what : `${what} ${name}`;
    if (error !== undefined) output.print(`failed  ${thing}: ${error}`);
    else output.print(`${made ? "made  " : "there "}  ${thing.padEnd(12)} ${place}`);
  }
  if (!steps.some(({ made, error }) => made || error !== undefined)) {
    output.print();
    output.print("Everything is there, and nothing was changed. `stillpoint status` shows how it is.");
    return;
  }
  const key = steps.find(({ what, made }) => what === "key" && made);
  if (key !== undefined) {
    output.print();
    output.print(output.style("bold", `KEEP A COPY OF ${key.place} AWAY FROM THIS MACHINE, NOW.`));
    output.print(
      "Whoever has lost this machine and has no copy of that file has lost every recovery point. It can't be",
    );
    output.print("replaced or guessed. `stillpoint key add` adds a passphrase as a second way in.");
  }
  const sheet = steps.find(({ what, made }) => what === "sheet" && made);
  if (sheet !== undefined) {
    output.print();
    output.print(output.style("bold", `Print ${sheet.place}, keep the paper elsewhere, then remove the file:`));
    output.print("it holds the key, as does recovery-sheet.txt beside it. `stillpoint key sheet` makes a new one.");
  }
  if (sheet === undefined && steps.some(({ what, made }) => what === "replica" && made)) {
    output.print();
    output.print("Print a new recovery sheet, which names the new replica: `stillpoint key sheet`.");
  }
  output.print();
  const config = configPath(flags, cli);
  const start = flags.systemd === true ? "systemctl enable --now stillpoint.target" : "stillpoint daemon";
  output.print(`Next: see what ${config} protects, then start it with \`${start}\`.`);
  if (flags.config !== undefined)
    output.print(`The other verbs need --config too, or: export STILLPOINT_CONFIG=${config}`);
}
