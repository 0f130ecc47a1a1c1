/** The folders of a storage on one connection: those that objects go to, the one for unfinished work, and the root itself. */

import type { Clock } from "../../../host/clock.ts";
import { isLeftover } from "../../../host/write-durably.ts";
import type { FolderEntry, Handle, SftpClient } from "./client.ts";
import { kindOf } from "./file-kind.ts";
import { inLanes } from "./in-lanes.ts";
import { hasStatus, StatusError, statusCodes, Violation } from "./protocol.ts";
import { vanished } from "../vanished.ts";

export interface Place {
  readonly location: string;
  /** Absolute, or relative to the folder in which the server puts this user; ends in `/`. */
  readonly root: string;
}

/** Only for the user that the server knows this side as. */
const folderMode = 0o700;

export class Folders {
  readonly #client: SftpClient;
  readonly #place: Place;
  readonly #clock: Clock;
  /** By name, `""` for the root: found or made. */
  readonly #there = new Map<string, Promise<void>>();
  /** By name: there, as are those above it, and forced to the medium. */
  readonly #ready = new Map<string, Promise<void>>();
  #leftoversRemoved: Promise<void> | undefined;

  constructor(client: SftpClient, place: Place, clock: Clock) {
    this.#client = client;
    this.#place = place;
    this.#clock = clock;
  }

  /** Makes the folder of that name with its parents, where they lack, durably. */
  async make(name: string): Promise<void> {
    await once(this.#ready, name, async () => {
      const parent = parentOf(name);
      await this.#make(parent);
      if (name === "") return;
      // Also when it was there: whoever made it a moment ago may not have come to that yet.
      const synced = syncFolder(this.#client, this.#place.root + parent, this.#make(name));
      await Promise.all([this.make(parent), synced]);
    });
  }

  /** What was believed may be wrong: the next `make` looks again. */
  forget(): void {
    this.#there.clear();
    this.#ready.clear();
  }

  /** A folder doesn't wait until those above it are forced to the medium. */
  async #make(name: string): Promise<void> {
    await once(this.#there, name, async () => {
      if (name === "") return await this.requireTmp();
      await this.#make(parentOf(name));
      await makeOrFind(this.#client, this.#place.root + name);
    });
  }

  /**
   * A root that is there but holds nothing is the mount point of a disk that isn't: a storage has `tmp` from its first
   * moment. A copy made by a tool that skips empty folders lacks it, and can be read all the same.
   *
   * @throws StillpointError `storage_unreachable`
   */
  async requireRoot(): Promise<void> {
    const { root } = this.#place;
    if ((await orAbsent(this.#client.stat(`${root}tmp`))) !== absent) return;
    const entries = await readFolder(this.#client, root);
    if (entries === absent) throw vanished(this.#place, `there is no folder ${root} on the server`);
    if (entries.length === 0) throw vanished(this.#place, `the folder ${root} on the server is empty`);
  }

  /** Before anything is written, `tmp` itself is asked for. */
  async requireTmp(): Promise<void> {
    const info = await orAbsent(this.#client.stat(`${this.#place.root}tmp`));
    if (info !== absent) return;
    await this.requireRoot();
    const { root } = this.#place;
    throw vanished(
      this.#place,
      `the folder ${root} on the server holds no folder tmp, as each storage does`,
      `${root}tmp`,
    );
  }

  /** What killed writers have left, if this user may delete it. */
  async removeLeftoversOnce(): Promise<void> {
    this.#leftoversRemoved ??= this.#removeLeftovers();
    await this.#leftoversRemoved;
  }

  async #removeLeftovers(): Promise<void> {
    const tmp = `${this.#place.root}tmp`;
    const entries = await readFolder(this.#client, tmp).catch(() => undefined);
    if (entries === undefined || entries === absent) return;
    const now = this.#clock.now();
    const old = entries.filter(({ name, attributes: { time } }) => isLeftover(name, (time ?? Infinity) * 1000, now));
    await inLanes(old, 8, async ({ name }) => {
      // Gone meanwhile, or not ours to remove: either way it harms nobody.
      await this.#client.remove(`${tmp}/${name}`).catch(() => undefined);
    });
  }
}

/** Does the work once for each name, and again after it has failed. */
async function once(known: Map<string, Promise<void>>, name: string, work: () => Promise<void>): Promise<void> {
  const done = known.get(name) ?? work();
  known.set(name, done);
  try {
    await done;
  } catch (error) {
    known.delete(name);
    throw error;
  }
}

/** With a slash at its end; `""` and `.` are where the server puts this user. */
export function rootOf(path: string): string {
  const trimmed = path.replace(/\/+$/, "");
  return trimmed === "" && path !== "" ? "/" : `${trimmed || "."}/`;
}

/** What the listing itself says of an entry, or, where the server leaves out some of it, what it says when asked. */
export async function knownWell(client: SftpClient, path: string, { attributes }: FolderEntry) {
  const { size, mode, time } = attributes;
  if (size !== undefined && mode !== undefined && time !== undefined) return attributes;
  return await orAbsent(client.stat(path));
}

/** `""` for what is in the root itself. */
export function parentOf(name: string): string {
  return name.slice(0, Math.max(0, name.lastIndexOf("/")));
}

export async function makeOrFind(client: SftpClient, path: string): Promise<void> {
  try {
    await client.makeFolder(path, folderMode);
  } catch (error) {
    // Version 3 has no code for what is there already.
    if (!(error instanceof StatusError)) throw error;
    const found = await orAbsent(client.stat(path, { follow: true }));
    if (found === absent || kindOf(found) !== "folder") throw error;
  }
}

/**
 * Forces a folder's entries to the medium, where the server can be brought to it. The protocol knows nothing of this; but
 * OpenSSH opens a folder like a file, and its fsync extension then works on that. Elsewhere the entries last as soon as the
 * server's own system writes them.
 *
 * `changed` is the work on them that is to last, under way while the folder is opened. Throws what it throws.
 */
export async function syncFolder(client: SftpClient, path: string, changed = Promise.resolve()): Promise<void> {
  changed.catch(() => undefined); // Seen below, unless opening fails first.
  const folder = await openToSync(client, path);
  try {
    await changed;
    if (folder !== undefined) await forceEntries(client, folder);
  } finally {
    if (folder !== undefined) letGo(client, folder);
  }
}

/** Undefined where folders can't be opened, or not be forced to the medium. */
async function openToSync(client: SftpClient, path: string): Promise<Handle | undefined> {
  if (!client.features.fsync) return undefined;
  try {
    return await client.openToRead(path);
  } catch (error) {
    if (error instanceof StatusError && error.code !== statusCodes.noSuchFile) return undefined;
    throw error;
  }
}

async function forceEntries(client: SftpClient, folder: Handle): Promise<void> {
  try {
    await client.fsync(folder);
  } catch (error) {
    // A file system whose folders can't be synchronised (FUSE has some) says EINVAL, which is a bad message here.
    if (!hasStatus(error, statusCodes.badMessage, statusCodes.unsupported)) throw error;
  }
}

/** Closes a handle without waiting: nothing depends on how that goes. */
export function letGo(client: SftpClient, handle: Handle): void {
  client.closeHandle(handle).catch(() => undefined);
}

/** Pages of a folder that are asked for at once: at first its only one, with the word that it ends there; then ever more. */
const fewestPages = 2;
const mostPages = 16;
/** No folder of a storage has nearly as many. */
const mostEntries = 4_000_000;

/** All entries but `.` and `..`; `absent` when there is no such folder. */
export async function readFolder(client: SftpClient, path: string): Promise<FolderEntry[] | typeof absent> {
  const folder = await orAbsent(client.openFolder(path));
  if (folder === absent) return absent;
  try {
    const found = new Map<string, FolderEntry>();
    for (let [complete, count] = [false, fewestPages]; !complete; count = Math.min(2 * count, mostPages)) {
      const pages = await Promise.all(Array.from({ length: count }, () => client.readFolder(folder)));
      complete = pages.includes(undefined);
      for (const entry of pages.flatMap((page) => page ?? [])) addEntry(found, entry);
    }
    return [...found.values()];
  } finally {
    letGo(client, folder);
  }
}

function addEntry(found: Map<string, FolderEntry>, entry: FolderEntry): void {
  const { name } = entry;
  if (name === "." || name === "..") return;
  if (name.includes("/")) throw new Violation(`it listed ${JSON.stringify(name)} as a name in a folder`);
  if (found.has(name)) throw new Violation(`it listed ${JSON.stringify(name)} twice in one folder`);
  if (found.size === mostEntries) throw new Violation(`it listed more than ${mostEntries} names in one folder`);
  found.set(name, entry);
}

export const absent: unique symbol = Symbol("absent");

/** The result, or `absent` when the server says that there is no such file or folder. */
export async function orAbsent<T>(work: Promise<T>): Promise<T | typeof absent> {
  try {
    return await work;
  } catch (error) {
    if (hasStatus(error, statusCodes.noSuchFile)) return absent;
    throw error;
  }
}
