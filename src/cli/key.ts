import { hostname } from "node:os";
import * as path from "node:path";
import { StillpointError } from "../errors.ts";
import { newKeyFile, type NewKey } from "../repository/keys/key-objects.ts";
import { addKey, type KeyDescription, listKeys, removeKey } from "../repository/repository.ts";
import { openPrimary, primaryName } from "../job/locations.ts";
import { readSecret } from "../job/read-secret.ts";
import type { Cli, DefineVerb } from "./cli.ts";
import { count, formatTime, printable } from "./format.ts";
import { keyOpens } from "./key-opens.ts";
import { makeFile } from "./make-file.ts";
import {
  addConfigOption,
  addLocationOptions,
  type LocationFlags,
  type OpenedLocation,
  openLocation,
  readPassphrase,
  secretOf,
} from "./open-location.ts";
import { type ConfigFlags, configPath, readConfig } from "./read-config.ts";
import { formatTable } from "./table.ts";

interface Flags extends LocationFlags {
  readonly json?: boolean;
}

interface AddFlags extends Flags {
  readonly newKeyFile?: string;
  readonly newPassphraseFile?: string;
  readonly newAgeRecipient?: string;
  readonly label?: string;
}

interface SheetFlags extends ConfigFlags {
  readonly json?: boolean;
}

export const define: DefineVerb = (command, cli) => {
  addLocationOptions(command.command("list"))
    .summary("list the keys that open the repository")
    .description("Lists the keys that open the repository. Shows no secrets.")
    .option("--json", "print JSON")
    .addHelpText("after", "\nExample:\n  stillpoint key list --location usb")
    .action(async (flags: Flags) => {
      const { repository } = await openLocation(cli, flags, { write: false });
      const keys = await listKeys(repository.storage, { signal: cli.signal });
      if (flags.json === true) cli.output.json(keys);
      else printKeys(cli, keys);
    });

  addLocationOptions(command.command("add"))
    .summary("add a key")
    .description("Adds a key. Each key opens everything; the others stay. Replicas get it with the next replication.")
    .option("--new-key-file <file>", "make a new key file there")
    .option("--new-passphrase-file <file>", "the passphrase in that file opens the repository from now on")
    .option("--new-age-recipient <age1…>", "whoever has the identity of this recipient can open it from now on")
    .option("--label <text>", "what to call the key (default: this host's name)")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Examples:
  stillpoint key add --new-passphrase-file /root/passphrase --label "in the safe"
  stillpoint key add --new-age-recipient age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p`,
    )
    .action(async (flags: AddFlags) => await add(cli, flags));

  addConfigOption(command.command("sheet"))
    .summary("write a recovery sheet to print: places, key as text and QR code, commands")
    .description("Writes a recovery sheet: a page to print, and the same as plain text. It holds the key.")
    .argument("[folder]", "where to (default: beside the configuration)")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Print recovery-sheet.html, keep the paper away from this host, and remove both files. Make a new one when the key or the
replicas change.

Examples:
  stillpoint key sheet
  stillpoint key sheet /root`,
    )
    .action(async (folder: string | undefined, flags: SheetFlags) => await writeSheet(cli, folder, flags));

  addLocationOptions(command.command("remove").argument("<id>", "the key's id or its beginning"))
    .summary("remove a key")
    .description("Removes a key. Refuses the last one, and the only one that the configuration can open with.")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
A replica keeps the key until it is removed there, too. Whoever has a copy of the repository from before, and the
removed key, can still read that copy.

Examples:
  stillpoint key remove 41c2d7aa
  stillpoint key remove 41c2d7aa --location usb`,
    )
    .action(async (id: string, flags: Flags) => await remove(cli, id, flags));
};

function printKeys({ output }: Cli, keys: readonly KeyDescription[]): void {
  const rows = keys.map(({ id, type, label, created }) => [
    id,
    type,
    formatTime(Date.parse(created)),
    printable(label),
  ]);
  const columns = [{ title: "ID" }, { title: "TYPE" }, { title: "SINCE (UTC)" }, { title: "LABEL", cut: true }];
  for (const line of formatTable(columns, rows, output.width)) output.print(line);
}

async function add(cli: Cli, flags: AddFlags): Promise<void> {
  const { newKeyFile: file, newPassphraseFile: passphrase, newAgeRecipient: recipient } = flags;
  if ([file, passphrase, recipient].filter((one) => one !== undefined).length !== 1) {
    throw new StillpointError("usage", {
      what: "Cannot add a key: it takes exactly one of --new-key-file, --new-passphrase-file and --new-age-recipient",
      safe: "Nothing was changed.",
      next: "See `stillpoint key add --help`.",
    });
  }
  const opened = await openLocation(cli, flags, { write: true });
  const key = await makeKey(flags);
  const id = await addKey(opened.repository, key, flags.label ?? hostname());
  if (flags.json === true) return cli.output.json({ id, type: key.type });
  cli.output.print(`Added the key ${id} (${key.type})`);
  if (file !== undefined)
    cli.output.print(`Keep ${path.resolve(file)} secret, and a copy of it away from this machine.`);
  const replicas = copiesOf(opened);
  if (replicas !== "") cli.output.print(`It opens ${replicas} too, after the next replication.`);
}

/** The replicas whose keys come from the location, as text. */
function copiesOf({ name, config }: OpenedLocation): string {
  return name === primaryName ? (config?.replicas ?? []).map((replica) => replica.name).join(", ") : "";
}

async function writeSheet(cli: Cli, folder: string | undefined, flags: SheetFlags): Promise<void> {
  const config = await readConfig(flags, cli);
  const { clock, environment, signal } = cli;
  const { repository } = await openPrimary(config, { clock, environment, signal, readOnly: true });
  const { makeSheet, sheetFiles } = await import("./make-sheet.ts");
  const target = path.resolve(folder ?? path.dirname(configPath(flags, cli)));
  await makeSheet(cli, config, repository, target);
  const { page, text } = sheetFiles(target);
  if (flags.json === true) return cli.output.json({ page, text });
  cli.output.print(`Wrote ${page} and ${text}`);
  cli.output.print("They hold the key. Print the page, keep the paper away from this host, and remove both files.");
}

async function makeKey({ newKeyFile: file, newPassphraseFile, newAgeRecipient }: AddFlags): Promise<NewKey> {
  if (newAgeRecipient !== undefined) return { type: "age", recipient: newAgeRecipient };
  if (newPassphraseFile !== undefined) return await readPassphrase(newPassphraseFile);
  const { text, secret } = newKeyFile();
  await makeFile(path.resolve(file ?? ""), text);
  return { type: "key-file", secret };
}

async function remove(cli: Cli, prefix: string, flags: Flags): Promise<void> {
  const opened = await openLocation(cli, flags, { write: true });
  const { storage } = opened.repository;
  const { id } = findKey(await listKeys(storage, { signal: cli.signal }), prefix);
  await refuseOnlyWayIn(cli, opened, flags, id);
  await removeKey(storage, id);
  if (flags.json === true) return cli.output.json({ removed: id });
  cli.output.print(`Removed the key ${id}`);
  const replicas = copiesOf(opened);
  if (replicas === "") return;
  cli.output.print(
    `It may still open ${replicas}: remove it there too, with --location, after a replication has brought the others.`,
  );
}

function findKey(keys: readonly KeyDescription[], prefix: string): KeyDescription {
  const matches = keys.filter(({ id }) => id.startsWith(prefix.toLowerCase()));
  const [key] = matches;
  if (key !== undefined && matches.length === 1) return key;
  throw new StillpointError(key === undefined ? "not_found" : "usage", {
    what:
      key === undefined
        ? `There is no key ${JSON.stringify(prefix)}`
        : `${count(matches.length, "key")} begin with ${prefix}`,
    safe: "Nothing was changed.",
    next: "`stillpoint key list` shows them.",
  });
}

/** The key that this very command was opened with must have another beside it that the same secret opens: else the daemon stands outside. */
async function refuseOnlyWayIn(
  cli: Cli,
  { repository, config }: OpenedLocation,
  flags: Flags,
  id: string,
): Promise<void> {
  const secret =
    config === undefined
      ? await secretOf(flags)
      : await readSecret(config.repository.key, { environment: cli.environment });
  const others = (await listKeys(repository.storage)).filter((key) => key.id !== id);
  // The last one of all is refused by removeKey, with a better reason.
  if (others.length === 0) return;
  for (const other of others) if (await keyOpens(repository, other.id, secret)) return;
  throw new StillpointError("usage", {
    what: `Cannot remove the key ${id}: it is the one that this command was opened with`,
    safe: "Nothing was changed.",
    next: "Open with the key that shall stay: name that in the configuration, or use --repository with it.",
  });
}
