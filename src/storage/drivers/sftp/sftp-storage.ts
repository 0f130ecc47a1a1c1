/** A storage on an SFTP server: `<root>/<name>`, and unfinished work in `<root>/tmp/`. */

import { isStillpointError, StillpointError } from "../../../errors.ts";
import { throwIfCancelled, unlessCancelled } from "../../../host/cancel.ts";
import type { Clock } from "../../../host/clock.ts";
import { allEnded } from "../../all-ended.ts";
import { isObjectName, requireObjectName, requirePrefix } from "../../names.ts";
import { sizeOf } from "../../size-of.ts";
import type { ByteRange, CallOptions, GetOptions, ObjectInfo, Storage } from "../../storage.ts";
import type { SftpClient } from "./client.ts";
import { kindOf } from "./file-kind.ts";
import {
  absent,
  Folders,
  knownWell,
  letGo,
  orAbsent,
  parentOf,
  type Place,
  readFolder,
  rootOf,
  syncFolder,
} from "./folders.ts";
import { type OpenObject, piecesOf, readPiece, readWhole } from "./read-object.ts";
import { type Session, Sessions } from "./sessions.ts";
import { hasStatus, StatusError, statusCodes } from "./protocol.ts";
import { storageErrorFrom } from "./sftp-errors.ts";
import { writeObject } from "./write-object.ts";

export interface SftpStorageOptions {
  readonly location: string;
  /** The folder: absolute, or relative to where the server puts this user. */
  readonly path: string;
  readonly clock: Clock;
  /** Connections at once, at most; 1 by default. */
  readonly connections?: number | undefined;
  /** Makes a new connection. Throws StillpointError. */
  readonly connect: () => Promise<SftpClient>;
}

type Action = "store" | "read" | "look at" | "delete" | "list";

/** In bytes: what is longer is worth a connection of its own. */
const longTransfer = 2 ** 20;
/** Folders that are read at once while listing, each by two requests: half of those that packs are spread over. */
const foldersAtOnce = 128;
/** More than any name of an object has; a folder that is inside itself ends here. */
const deepestFolder = 16;

export class SftpStorage implements Storage {
  readonly location: string;
  readonly #place: Place;
  readonly #sessions: Sessions;

  constructor(options: SftpStorageOptions) {
    this.location = options.location;
    this.#place = { location: options.location, root: rootOf(options.path) };
    this.#sessions = new Sessions(async () => {
      const client = await options.connect();
      return { client, folders: new Folders(client, this.#place, options.clock) };
    }, options.connections ?? 1);
  }

  async put(name: string, data: readonly Uint8Array[], { signal }: CallOptions = {}): Promise<void> {
    const write = async ({ client, folders }: Session): Promise<void> => {
      // Their round trips go by while the content is on its way, which doesn't go to that folder at first.
      const folder = Promise.all([folders.make(parentOf(name)), folders.removeLeftoversOnce()]);
      folder.catch(() => undefined); // Seen where it is waited for; here it only must not count as unhandled.
      await writeObject(client, this.#place, { name, folder, data }, signal);
    };
    await this.#call("store", name, signal, write, sizeOf(data));
  }

  async get(name: string, range?: ByteRange, { signal, into: given }: GetOptions = {}): Promise<Buffer> {
    if (range === undefined) return await this.#read(name, signal, readWhole);
    const into = given ?? Buffer.allocUnsafeSlow(range.length);
    // One after the other they would take a round trip for each 2 MiB.
    const pieces = piecesOf(range, into, this.#sessions.lanesFor(range.length));
    await allEnded(
      pieces.map((piece) => this.#read(name, signal, (object) => readPiece(object, piece), piece.into.length)),
    );
    return into;
  }

  /** Does the work, which moves so many bytes, on the object's open file. */
  async #read<T>(
    name: string,
    signal: AbortSignal | undefined,
    work: (object: OpenObject) => Promise<T>,
    bytes?: number,
  ): Promise<T> {
    const read = async (session: Session, path: string): Promise<T> => {
      const { client } = session;
      const file = await orAbsent(client.openToRead(path));
      if (file === absent) throw await this.#missing(session, name);
      try {
        return await work({ client, file, location: this.location, name, signal });
      } finally {
        letGo(client, file);
      }
    };
    return await this.#call("read", name, signal, read, bytes);
  }

  async stat(name: string, { signal }: CallOptions = {}): Promise<ObjectInfo> {
    return await this.#call("look at", name, signal, async (session, path) => {
      const info = await orAbsent(session.client.stat(path));
      if (info === absent || kindOf(info) !== "file") throw await this.#missing(session, name);
      return { name, size: info.size ?? 0, time: (info.time ?? 0) * 1000 };
    });
  }

  async delete(name: string, { signal }: CallOptions = {}): Promise<void> {
    await this.#call("delete", name, signal, async ({ client, folders }, path) => {
      if ((await removeFile(client, path)) === absent) await folders.requireRoot();
      // Also when it was gone already: whoever deleted it may have failed, or not have come, to make that durable.
      await orAbsent(syncFolder(client, this.#place.root + parentOf(name)));
    });
  }

  async *list(prefix: string, { signal }: CallOptions = {}): AsyncIterable<ObjectInfo> {
    requirePrefix(prefix);
    const unread = [prefix.slice(0, prefix.lastIndexOf("/") + 1)];
    const reading: Promise<FolderContent>[] = [];
    let sure = true;
    for (;;) {
      for (const folder of unread.splice(0, foldersAtOnce - reading.length)) {
        const content = this.#call("list", folder, signal, (session) => this.#readFolder(session, folder, prefix));
        // One that fails while others are waited for is reported in its turn, or not at all when the consumer has left.
        content.catch(() => undefined);
        reading.push(content);
      }
      const next = reading.shift();
      if (next === undefined) break;
      const { objects, subfolders, isProof } = await next;
      sure &&= isProof;
      unread.push(...subfolders);
      yield* objects;
    }
    // What is missing counts as deleted, or as never there, only if the storage itself still is.
    if (!sure) await this.#call("list", "", signal, ({ folders }) => folders.requireRoot());
  }

  /** The objects under `prefix` in one folder (`""`, or ending in `/`), and the folders that may hold more. */
  async #readFolder({ client }: Session, folder: string, prefix: string): Promise<FolderContent> {
    const entries = await readFolder(client, this.#place.root + folder);
    // Only the folder that the prefix names may lack; any other was seen a moment ago, and folders are never deleted.
    if (entries === absent && !prefix.startsWith(folder)) throw this.#folderVanished(folder);
    const isProof = entries !== absent && folder !== "";
    const content: FolderContent = { objects: [], subfolders: [], isProof };
    for (const entry of entries === absent ? [] : entries) {
      const name = folder + entry.name;
      // A name that no object can have isn't ours: `tmp`, or the `lost+found` of an ext4 file system.
      if (!isObjectName(name) || !name.startsWith(prefix)) continue;
      const info = await knownWell(client, this.#place.root + name, entry);
      if (info === absent) continue;
      const kind = kindOf(info);
      if (kind === "file") content.objects.push({ name, size: info.size ?? 0, time: (info.time ?? 0) * 1000 });
      else if (kind === "folder" && name.split("/").length < deepestFolder) content.subfolders.push(`${name}/`);
      else throw this.#stranger(name);
    }
    return content;
  }

  /** Does the work, which moves so many bytes, on the file of that name: cancelled soon when the signal aborts, and with the contract's errors. */
  async #call<T>(
    action: Action,
    name: string,
    signal: AbortSignal | undefined,
    work: (session: Session, path: string) => Promise<T>,
    bytes = 0,
  ): Promise<T> {
    if (action !== "list") requireObjectName(name);
    throwIfCancelled(signal);
    const attempt = this.#sessions.use(bytes >= longTransfer, async (session) => {
      try {
        return await work(session, this.#place.root + name);
      } catch (error) {
        throw await this.#explain(error, session, action, name);
      }
    });
    return await unlessCancelled(attempt, signal);
  }

  async #explain(error: unknown, session: Session, action: Action, name: string): Promise<unknown> {
    const { client, folders } = session;
    // What was believed about folders may be wrong now; the next try looks again.
    if (action === "store") folders.forget();
    const { root } = this.#place;
    if (!(error instanceof StatusError))
      return storageErrorFrom(error, { location: this.location, path: root + name, action });
    try {
      // Where a folder lacks that was expected, most likely the whole storage does.
      if (hasStatus(error, statusCodes.noSuchFile))
        await (action === "store" ? folders.requireTmp() : folders.requireRoot());
      if (action === "read" && (await isFolder(client, root + name))) return await this.#missing(session, name);
    } catch (better) {
      // What the server says to these questions matters less than what it said first.
      if (isStillpointError(better)) return better;
    }
    const space =
      action === "store" && client.features.statvfs ? await client.space(root).catch(() => undefined) : undefined;
    return storageErrorFrom(error, { location: this.location, path: root + name, action, space });
  }

  async #missing({ folders }: Session, name: string): Promise<StillpointError> {
    await folders.requireRoot();
    return new StillpointError("object_missing", {
      what: `Cannot find ${name} in ${this.location}: there is no such object`,
    });
  }

  #folderVanished(folder: string): StillpointError {
    return new StillpointError("storage_failed", {
      what: `Cannot list ${this.location}: the folder ${this.#place.root}${folder} vanished meanwhile`,
      safe: "Nothing was changed.",
      next: "Look for another program that deletes folders there.",
    });
  }

  #stranger(name: string): StillpointError {
    return new StillpointError("storage_failed", {
      what: `Cannot list ${this.location}: ${this.#place.root}${name} is neither a file nor a folder of a storage`,
      safe: "Nothing was changed.",
      next: "Move it away: a storage holds no symbolic links or special files.",
    });
  }
}

interface FolderContent {
  readonly objects: ObjectInfo[];
  readonly subfolders: string[];
  /** Whether it was there, as a folder of a storage that is: the root itself may be an empty mount point. */
  readonly isProof: boolean;
}

/** A folder is no object, so there is none. */
async function removeFile(client: SftpClient, path: string): Promise<"removed" | typeof absent> {
  try {
    return (await orAbsent(client.remove(path))) === absent ? absent : "removed";
  } catch (error) {
    if (error instanceof StatusError && (await isFolder(client, path))) return absent;
    throw error;
  }
}

async function isFolder(client: SftpClient, path: string): Promise<boolean> {
  const info = await orAbsent(client.stat(path));
  return info !== absent && kindOf(info) === "folder";
}
