/** Writes the recovery sheet of a configuration: as a page to print, and as plain text. */
import { hostname } from "node:os";
import * as path from "node:path";
import { addressOfPrimary, addressOfReplica } from "../job/locations.ts";
import { readSecret } from "../job/read-secret.ts";
import type { Config } from "../policy/config.ts";
import { listKeys, type Repository } from "../repository/repository.ts";
import { placeOf } from "../storage/place-of.ts";
import type { StorageAddress } from "../storage/storage.ts";
import type { Cli } from "./cli.ts";
import { keyOpens } from "./key-opens.ts";
import { makeFile } from "./make-file.ts";
import { readText } from "./read-text.ts";
import { type RecoverySheet, sheetHtml, type SheetPlace, sheetText } from "./recovery-sheet.ts";
import { version } from "./version.ts";

/** The files that a sheet is made of, in their folder. The page is what one prints. */
export function sheetFiles(folder: string): { readonly page: string; readonly text: string } {
  return { page: path.join(folder, "recovery-sheet.html"), text: path.join(folder, "recovery-sheet.txt") };
}

/** Readable for this user only. Never overwrites: throws `usage` when one is there, else what reading the key and writing throw. */
export async function makeSheet(cli: Cli, config: Config, repository: Repository, folder: string): Promise<void> {
  const files = sheetFiles(folder);
  const sheet = await gather(cli, config, repository);
  await makeFile(files.page, sheetHtml(sheet));
  await makeFile(files.text, sheetText(sheet));
}

async function gather(cli: Cli, config: Config, repository: Repository): Promise<RecoverySheet> {
  return {
    host: hostname(),
    version,
    made: cli.clock.now(),
    repositoryId: repository.keys.repositoryId,
    places: placesOf(config),
    key: await keyOf(cli, config, repository),
    otherKey: otherKeyOf(config),
  };
}

async function keyOf(
  { environment, signal }: Cli,
  config: Config,
  repository: Repository,
): Promise<RecoverySheet["key"]> {
  const { key } = config.repository;
  if (key.kind !== "key_file") return undefined;
  const secret = await readSecret(key, { environment });
  for (const { id } of await listKeys(repository.storage, { signal })) {
    if (!(await keyOpens(repository, id, secret))) continue;
    const text = await readText(key.path, { what: "the key", code: "key_unreadable" });
    return { id, text: text.trim() };
  }
  return undefined;
}

function otherKeyOf({ repository: { key } }: Config): string {
  if (key.kind === "passphrase_file") return "The passphrase, written here by hand: ______________________________";
  return "The key file is kept elsewhere; write here where: ______________________________";
}

function placesOf(config: Config): SheetPlace[] {
  const replicas = config.replicas.map(addressOfReplica).map(describePlace);
  const remark =
    replicas.length === 0
      ? "On the host itself, and there was no replica when this was made. When the host's disk is lost, this sheet brings nothing back: add a replica, and print a new one."
      : "On the host itself: of use as long as its disk can be read.";
  return [{ ...describePlace(addressOfPrimary(config)), remark }, ...replicas];
}

function describePlace(address: StorageAddress): SheetPlace {
  const place = { name: address.location, repository: placeOf(address), remark: undefined };
  if (address.kind === "fs") return place;
  if (address.kind === "s3") {
    const style =
      address.pathStyle === (address.endpoint !== undefined) ? "" : `&path_style=${String(address.pathStyle)}`;
    return {
      ...place,
      repository: `${place.repository}${style}&credentials_file=CREDENTIALS`,
      remark: "CREDENTIALS: a file with the bucket's access key (docs/offsite.md), which isn't on this sheet.",
    };
  }
  return {
    ...place,
    repository: `${place.repository}?identity_file=IDENTITY&known_hosts_file=KNOWN_HOSTS`,
    remark: "IDENTITY: the private key to log in by; KNOWN_HOSTS: the server's key. They aren't on this sheet.",
  };
}
