/** Opening the repository that a verb works on: one of the configuration, or any other by its place and key. */
import * as path from "node:path";
import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import { StillpointError } from "../errors.ts";
import { Lines } from "../job/lines.ts";
import { type Location, openLocation as openConfigured, primaryName } from "../job/locations.ts";
import type { Config } from "../policy/config.ts";
import { parseKeyFile, type Secret } from "../repository/keys/key-objects.ts";
import { openRepository } from "../repository/repository.ts";
import { openStorage, type OpenStorageOptions } from "../storage/open.ts";
import { parseS3Url } from "../storage/drivers/s3/s3-url.ts";
import { parseSftpUrl } from "../storage/drivers/sftp/sftp-url.ts";
import type { StorageAddress } from "../storage/storage.ts";
import type { Cli } from "./cli.ts";
import { readConfig } from "./read-config.ts";
import { readText } from "./read-text.ts";

export interface LocationFlags {
  readonly config?: string;
  readonly location?: string;
  readonly repository?: string;
  /** Only `list --fleet` takes several. */
  readonly keyFile?: readonly string[];
  readonly passphraseFile?: string;
  readonly ageIdentity?: string;
}

export interface OpenedLocation extends Location {
  /** Undefined for a repository that was named by its place. */
  readonly config: Config | undefined;
}

export function addConfigOption(command: Command): Command {
  return command.option(
    "--config <file>",
    "the configuration (default: STILLPOINT_CONFIG, else /etc/stillpoint/stillpoint.yaml)",
  );
}

/** The options by which `openLocation` finds a repository. */
export function addLocationOptions(command: Command): Command {
  const located = addConfigOption(command)
    .option("--location <name>", "a location of the configuration: primary, or a replica's name", primaryName)
    .option(
      "--repository <place>",
      "a repository anywhere, by path, s3:// or sftp:// URL: needs no configuration, but a key",
    );
  return addKeyOptions(located);
}

/** What opens a repository that was named by its place. */
export function addKeyOptions(command: Command): Command {
  return command
    .option(
      "--key-file <file>",
      "the key file that opens --repository",
      (file: string, others: readonly string[] | undefined) => [...(others ?? []), file],
    )
    .option("--passphrase-file <file>", "or the file with its passphrase")
    .option("--age-identity <file>", "or the file with an age identity");
}

export interface OpenOptions {
  /** Whether the verb may write; else the storage refuses it. */
  readonly write: boolean;
  /** Whether the bandwidth of the configuration holds. It doesn't for a person who waits for a restore. */
  readonly limited?: boolean;
  readonly moved?: OpenStorageOptions["moved"];
}

/** Throws `usage`, the configuration's errors, and what opening a repository throws. */
export async function openLocation(
  cli: Pick<Cli, "clock" | "environment" | "signal">,
  flags: LocationFlags,
  { write, limited = false, moved }: OpenOptions,
): Promise<OpenedLocation> {
  const { clock, signal, environment } = cli;
  const options = { clock, signal, readOnly: !write, moved };
  if (flags.repository === undefined) {
    refuseKeysAlone(flags);
    const config = await readConfig(flags, cli);
    const name = flags.location ?? primaryName;
    const lines = limited ? new Lines(() => config) : undefined;
    return { ...(await openConfigured(config, name, { ...options, environment, lines })), config };
  }
  refuseLocation(flags);
  const address = addressOf(flags.repository);
  const secret = await secretOf(flags);
  const storage = openStorage(address, options);
  return {
    name: address.location,
    config: undefined,
    repository: await openRepository({ storage, clock, secret, address, signal }),
  };
}

/** The one secret that the flags name. Throws `usage`, `key_unreadable` or `key_wrong`. */
export async function secretOf(flags: LocationFlags): Promise<Secret> {
  const { keyFile = [], passphraseFile, ageIdentity } = flags;
  if ([...keyFile, passphraseFile, ageIdentity].filter((file) => file !== undefined).length > 1) {
    throw usage("Cannot open with two keys at once", "Give one of --key-file, --passphrase-file and --age-identity.");
  }
  const [secret] = await secretsOf(flags);
  return secret;
}

/** All secrets that the flags name, at least one. Throws `usage`, `key_unreadable` or `key_wrong`. */
export async function secretsOf({
  keyFile = [],
  passphraseFile,
  ageIdentity,
}: LocationFlags): Promise<[Secret, ...Secret[]]> {
  const secrets: Secret[] = [];
  for (const file of keyFile)
    secrets.push({ type: "key-file", secret: parseKeyFile(await readKey(file, "the key"), file) });
  if (passphraseFile !== undefined) secrets.push(await readPassphrase(passphraseFile));
  if (ageIdentity !== undefined) secrets.push(await readIdentity(ageIdentity));
  const [first, ...others] = secrets;
  if (first !== undefined) return [first, ...others];
  throw usage(
    "Cannot open a repository that was named by its place without a key",
    "Give --key-file FILE, --passphrase-file FILE or --age-identity FILE.",
  );
}

/** One line break at its end isn't part of a passphrase (docs/format.md section 4). */
export async function readPassphrase(file: string): Promise<Extract<Secret, { type: "passphrase" }>> {
  const passphrase = (await readKey(file, "the passphrase")).replace(/\r?\n$/, "");
  if (passphrase !== "") return { type: "passphrase", passphrase };
  throw new StillpointError("key_unreadable", {
    what: `Cannot use ${file} as a passphrase: it is empty`,
    safe: "Nothing was changed.",
    next: "Name the file that the passphrase is in.",
  });
}

/** A file as age-keygen writes it: comments, and the identity on a line of its own. */
async function readIdentity(file: string): Promise<Secret> {
  const identity = /^AGE-SECRET-KEY-\S+$/m.exec(await readKey(file, "the age identity"))?.[0];
  if (identity !== undefined) return { type: "age", identity };
  throw new StillpointError("key_wrong", {
    what: `Cannot use ${file} as an age identity: it has no line that begins with AGE-SECRET-KEY-`,
    safe: "Nothing was changed.",
    next: "Name the file that `age-keygen` wrote.",
  });
}

async function readKey(file: string, what: string): Promise<string> {
  return await readText(file, {
    what,
    code: "key_unreadable",
    next: "Bring it back from the copy that you keep elsewhere, or correct the path.",
  });
}

function refuseLocation({ location = primaryName }: LocationFlags): void {
  if (location === primaryName) return;
  throw usage(
    `Cannot take both --repository and --location ${location}: each names a repository`,
    "Leave one of them out.",
  );
}

function refuseKeysAlone({ keyFile, passphraseFile, ageIdentity }: LocationFlags): void {
  if (keyFile !== undefined || passphraseFile !== undefined || ageIdentity !== undefined) {
    throw usage(
      "Cannot use a key without --repository: the configuration names the key of its own repository",
      "Add --repository PATH, or leave the key out.",
    );
  }
}

/** Throws `usage`. */
export function addressOf(text: string): StorageAddress {
  if (text.startsWith("s3:")) return parseS3Url(text);
  if (text.startsWith("sftp:")) return parseSftpUrl(text);
  const folder = pathOf(text);
  return { kind: "fs", location: folder, path: folder };
}

function pathOf(text: string): string {
  if (text.startsWith("file:")) {
    try {
      return fileURLToPath(text);
    } catch (error) {
      throw usage(`Cannot use ${text} as a repository: ${(error as Error).message}`, "Give its path.");
    }
  }
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) return path.resolve(text);
  throw usage(
    `Cannot use ${text} as a repository: this Stillpoint opens folders, s3:// and sftp:// URLs only`,
    "Give a path or such a URL, or copy the repository's objects to a folder, under the same names.",
  );
}

function usage(what: string, next: string): StillpointError {
  return new StillpointError("usage", { what, safe: "Nothing was changed.", next });
}
