/** The durable, atomic write of one object. */

import { sizeOf } from "../../size-of.ts";
import { StillpointError } from "../../../errors.ts";
import { tempName } from "../../../host/write-durably.ts";
import type { Handle, SftpClient } from "./client.ts";
import { absent, letGo, orAbsent, parentOf, type Place, syncFolder } from "./folders.ts";
import { hasStatus, StatusError, statusCodes } from "./protocol.ts";
import { storageErrorFrom } from "./sftp-errors.ts";
import { readFile, writeFile } from "./transfer.ts";

/**
 * Objects are written once. Whoever may log in as this user, and neither change modes nor delete (docs/offsite.md), can't
 * write into what is there.
 */
const objectMode = 0o400;

interface ObjectToWrite {
  readonly name: string;
  /** Settled when the folder that it goes to is there. */
  readonly folder: Promise<unknown>;
  readonly data: readonly Uint8Array[];
}

/**
 * Writes `<root>/tmp/<a new name>`, forces it to the medium, gives it its name, and forces the folder to the medium. Where the
 * server can't replace files, an object that is there already must be the same.
 *
 * @throws StatusError, StillpointError
 */
export async function writeObject(
  client: SftpClient,
  { location, root }: Place,
  { name, folder, data }: ObjectToWrite,
  signal: AbortSignal | undefined,
): Promise<void> {
  requireNaming(client, location);
  const temp = `${root}tmp/${tempName()}`;
  const target = root + name;
  const file = await client.openToMake(temp, objectMode);
  try {
    await writeFile(client, file, data, signal);
    // Requests for one file are served in the order in which they are made (draft, section 6.1).
    await Promise.all([client.features.fsync && client.fsync(file), client.closeHandle(file)]);
    await folder;
    const named = client.features.posixRename
      ? client.rename(temp, target)
      : giveFirstName(client, { location, name, temp, target }, data);
    await syncFolder(client, root + parentOf(name), named);
  } catch (error) {
    // Before the file goes, whose space is then free again.
    const reason = hasStatus(error, statusCodes.failure)
      ? await whyFailed(client, { location, root }, target, error)
      : error;
    letGo(client, file);
    removeSoon(client, temp);
    throw reason;
  }
}

/** The error that the state of the file system explains best. */
async function whyFailed(client: SftpClient, place: Place, path: string, error: StatusError): Promise<unknown> {
  const space = client.features.statvfs ? await client.space(place.root).catch(() => undefined) : undefined;
  return storageErrorFrom(error, { location: place.location, path, action: "store", space });
}

/** Without either of them an object could only be replaced by deleting it first, and would be gone for a moment, or for ever. */
function requireNaming({ features }: SftpClient, location: string): void {
  if (features.posixRename || features.hardlink) return;
  throw new StillpointError("storage_denied", {
    what: `Cannot store anything in ${location}: its server offers this user neither posix-rename@openssh.com nor hardlink@openssh.com`,
    safe: "Nothing was changed.",
    next: "Look whether it is for reading only; else use a server of OpenSSH, and let this user have one of them.",
  });
}

interface Naming {
  readonly location: string;
  readonly name: string;
  readonly temp: string;
  readonly target: string;
}

/** A second name for the file instead of another: never takes a name that is in use. */
async function giveFirstName(
  client: SftpClient,
  { location, name, temp, target }: Naming,
  data: readonly Uint8Array[],
): Promise<void> {
  try {
    await client.link(temp, target);
  } catch (error) {
    if (!(error instanceof StatusError) || (await orAbsent(client.stat(target))) === absent) throw error;
    if (!(await holds(client, target, data))) {
      throw new StillpointError("storage_denied", {
        what: `Cannot replace ${name} in ${location}: its server lets this user add objects, and not change them`,
        safe: "The object is as it was.",
        next: "Do this with a login that may do more.",
        cause: error,
      });
    }
  }
  removeSoon(client, temp);
}

/** Whether the file has just this content. */
async function holds(client: SftpClient, path: string, data: readonly Uint8Array[]): Promise<boolean> {
  const wanted = Buffer.concat(data);
  const file: Handle = await client.openToRead(path);
  try {
    // One byte more than there may be.
    const found = Buffer.allocUnsafeSlow(sizeOf(data) + 1);
    const length = await readFile(client, file, { offset: 0, into: found }, undefined);
    return found.subarray(0, length).equals(wanted);
  } finally {
    letGo(client, file);
  }
}

/** A file that can't be removed is found by whoever removes leftovers later. */
function removeSoon(client: SftpClient, path: string): void {
  client.remove(path).catch(() => undefined);
}
