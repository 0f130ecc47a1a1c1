/** A storage in a folder of any mounted file system: `<root>/<name>`, and unfinished work in `<root>/tmp/`. */

import * as path from "node:path";
import { StillpointError } from "../../errors.ts";
import { throwIfCancelled, unlessCancelled } from "../../host/cancel.ts";
import type { Clock } from "../../host/clock.ts";
import { errnoOf, type Files } from "../../host/files.ts";
import { makeFoldersDurably } from "../../host/make-folders.ts";
import { removeLeftovers, writeDurably } from "../../host/write-durably.ts";
import { isObjectName, requireObjectName, requirePrefix } from "../names.ts";
import type { ByteRange, CallOptions, GetOptions, ObjectInfo, Storage } from "../storage.ts";
import { storageErrorFrom } from "./fs-errors.ts";
import { vanished } from "./vanished.ts";

export interface FsStorageOptions {
  readonly location: string;
  /** An absolute path. */
  readonly root: string;
  readonly files: Files;
  readonly clock: Clock;
  /** Called when a call has succeeded. */
  readonly moved?: (() => void) | undefined;
}

/**
 * Makes the folder of a new storage, with its parents. Harmless when it is there already.
 *
 * Nothing else makes it: a root that has vanished later on (an unmounted disk, say) is an error.
 *
 * @throws StillpointError `storage_denied`, `storage_full`, `storage_unreachable`, `storage_failed`
 */
export async function createFsStorage({ location, root, files }: Omit<FsStorageOptions, "clock">): Promise<void> {
  try {
    await makeFoldersDurably(files, path.join(root, "tmp"));
  } catch (error) {
    throw storageErrorFrom(error, { location, path: root, action: "make the folder" });
  }
}

/**
 * Names of the folders in a folder, of which each may be a storage.
 *
 * @throws StillpointError `storage_denied`, `storage_unreachable`, `storage_failed`
 */
export async function listFsFolders({ location, root, files }: Omit<FsStorageOptions, "clock">): Promise<string[]> {
  try {
    return (await files.list(root)).filter(({ kind }) => kind === "folder").map(({ name }) => name);
  } catch (error) {
    throw storageErrorFrom(error, { location, path: root, action: "list" });
  }
}

/** How many files of a folder are looked at together while listing. */
const statBatch = 64;

export class FsStorage implements Storage {
  readonly location: string;
  readonly #root: string;
  readonly #files: Files;
  readonly #clock: Clock;
  readonly #moved: (() => void) | undefined;
  /** Folders that this instance has found or made, and has forced to the medium. */
  readonly #durableFolders = new Set<string>();
  #leftoversRemoved = false;

  constructor(options: FsStorageOptions) {
    this.location = options.location;
    this.#root = options.root;
    this.#files = options.files;
    this.#clock = options.clock;
    this.#moved = options.moved;
  }

  async put(name: string, data: readonly Uint8Array[], { signal }: CallOptions = {}): Promise<void> {
    await this.#call("store", name, signal, async (file) => {
      await this.#removeLeftoversOnce();
      await this.#makeFolder(path.dirname(file));
      await writeDurably(this.#files, file, data, { tempFolder: this.#tmp, signal });
    });
  }

  async get(name: string, range?: ByteRange, { signal, into }: GetOptions = {}): Promise<Buffer> {
    return await this.#call("read", name, signal, async (file) => {
      const data = await orAbsent(this.#files.read(file, range, into));
      if (data === absent) throw await this.#missing(name);
      if (range && data.length !== range.length) throw this.#shortRead(name, range, data.length);
      return data;
    });
  }

  async stat(name: string, { signal }: CallOptions = {}): Promise<ObjectInfo> {
    return await this.#call("look at", name, signal, async (file) => {
      const info = await orAbsent(this.#files.stat(file));
      if (info === absent || info.kind !== "file") throw await this.#missing(name);
      return { name, size: info.size, time: info.time };
    });
  }

  async delete(name: string, { signal }: CallOptions = {}): Promise<void> {
    await this.#call("delete", name, signal, async (file) => {
      if ((await orAbsent(this.#files.unlink(file))) === absent) await this.#requireRoot();
      // Also when it was gone already: whoever deleted it may have failed, or not have come, to make that durable.
      await orAbsent(this.#files.syncFolder(path.dirname(file)));
    });
  }

  async *list(prefix: string, { signal }: CallOptions = {}): AsyncIterable<ObjectInfo> {
    requirePrefix(prefix);
    const top = prefix.slice(0, prefix.lastIndexOf("/") + 1);
    const folders = [top];
    for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
      const { files, subfolders } = await this.#readFolder(folder, prefix, signal);
      folders.push(...subfolders);
      for (let at = 0; at < files.length; at += statBatch) {
        const batch = files.slice(at, at + statBatch).map((name) => this.#statListed(name, signal));
        yield* (await Promise.all(batch)).filter((info) => info !== undefined);
      }
    }
    // What was missing on the way counts as deleted, or as never there, only if the disk itself still is.
    await this.#call("list", "", signal, () => this.#requireRoot());
  }

  /** Names of the objects under `prefix` in one folder (`""`, or ending in `/`), and of the folders that may hold more. */
  async #readFolder(folder: string, prefix: string, signal: AbortSignal | undefined): Promise<FolderContent> {
    const content: FolderContent = { files: [], subfolders: [] };
    const entries = await this.#call("list", folder, signal, (file) => orAbsent(this.#files.list(file)));
    // Only the folder that the prefix names may lack; any other was seen a moment ago, and folders are never deleted.
    if (entries === absent && !prefix.startsWith(folder)) throw this.#folderVanished(folder);
    for (const { name: last, kind } of entries === absent ? [] : entries) {
      const name = folder + last;
      // A name that no object can have isn't ours: `tmp`, or the `lost+found` of an ext4 file system.
      if (!isObjectName(name) || !name.startsWith(prefix)) continue;
      if (kind === "file") content.files.push(name);
      else if (kind === "folder") content.subfolders.push(`${name}/`);
      else throw this.#stranger(name);
    }
    return content;
  }

  /** Undefined for an object deleted since its folder was read. */
  async #statListed(name: string, signal: AbortSignal | undefined): Promise<ObjectInfo | undefined> {
    const info = await this.#call("list", name, signal, (file) => orAbsent(this.#files.stat(file)));
    return info === absent ? undefined : { name, size: info.size, time: info.time };
  }

  /** Does the work on the file of that name: cancelled soon when the signal aborts, and with the contract's errors. */
  async #call<T>(
    action: Action,
    name: string,
    signal: AbortSignal | undefined,
    work: (file: string) => Promise<T>,
  ): Promise<T> {
    if (action !== "list") requireObjectName(name);
    throwIfCancelled(signal);
    const file = path.join(this.#root, name);
    try {
      const result = await unlessCancelled(work(file), signal);
      this.#moved?.();
      return result;
    } catch (error) {
      // What this instance believed about folders may be wrong now; the next try looks again.
      if (action === "store") this.#durableFolders.clear();
      const reason = errnoOf(error) === "ENOENT" ? await this.#whyMissing(error, action) : error;
      throw storageErrorFrom(reason, { location: this.location, path: file, action });
    }
  }

  /** Where a folder lacks that was expected, most likely the whole storage does. */
  async #whyMissing(error: unknown, action: Action): Promise<unknown> {
    try {
      await (action === "store" ? this.#requireTmp() : this.#requireRoot());
      return error;
    } catch (betterError) {
      return betterError;
    }
  }

  get #tmp(): string {
    return path.join(this.#root, "tmp");
  }

  async #removeLeftoversOnce(): Promise<void> {
    if (this.#leftoversRemoved) return;
    await this.#requireTmp();
    await removeLeftovers(this.#files, this.#tmp, this.#clock.now());
    this.#leftoversRemoved = true;
  }

  async #makeFolder(folder: string): Promise<void> {
    if (this.#durableFolders.has(folder)) return;
    await this.#requireTmp();
    await makeFoldersDurably(this.#files, folder, this.#root);
    this.#durableFolders.add(folder);
  }

  /**
   * A root that is there but holds nothing is the mount point of a disk that isn't: a storage has `tmp` from its
   * first moment. A copy made by a tool that skips empty folders lacks it, and can be read all the same.
   */
  async #requireRoot(): Promise<void> {
    const entries = await orAbsent(this.#files.list(this.#root));
    if (entries === absent) throw vanished(this.#place, `there is no folder ${this.#root}`);
    if (entries.length === 0) throw vanished(this.#place, `the folder ${this.#root} is empty`);
  }

  /** Before anything is written, `tmp` itself is asked for. */
  async #requireTmp(): Promise<void> {
    await this.#requireRoot();
    const info = await orAbsent(this.#files.stat(this.#tmp));
    if (info === absent)
      throw vanished(this.#place, `the folder ${this.#root} holds no folder tmp, as each storage does`, this.#tmp);
  }

  get #place(): { readonly location: string; readonly root: string } {
    return { location: this.location, root: this.#root };
  }

  #folderVanished(folder: string): StillpointError {
    return new StillpointError("storage_failed", {
      what: `Cannot list ${this.location}: the folder ${path.join(this.#root, folder)} vanished meanwhile`,
      safe: "Nothing was changed.",
      next: "Look for another program that deletes folders there.",
    });
  }

  async #missing(name: string): Promise<StillpointError> {
    await this.#requireRoot();
    return new StillpointError("object_missing", {
      what: `Cannot find ${name} in ${this.location}: there is no such object`,
    });
  }

  #shortRead(name: string, range: ByteRange, got: number): StillpointError {
    const wanted = `${range.length} bytes from ${range.offset}`;
    return new StillpointError("storage_failed", {
      what: `Cannot read ${wanted} of ${name} in ${this.location}: it has only ${got} there`,
      safe: "Nothing was changed.",
      next: "Run `stillpoint check` to learn what is damaged.",
      retryable: false,
    });
  }

  #stranger(name: string): StillpointError {
    return new StillpointError("storage_failed", {
      what: `Cannot list ${this.location}: ${path.join(this.#root, name)} is neither a file nor a folder`,
      safe: "Nothing was changed.",
      next: "Move it away: a storage holds no symbolic links or special files.",
    });
  }
}

type Action = "store" | "read" | "look at" | "delete" | "list";

interface FolderContent {
  readonly files: string[];
  readonly subfolders: string[];
}

const absent = Symbol("absent");

/** The result, or `absent` when the system says that there is no such file or folder. */
async function orAbsent<T>(work: Promise<T>): Promise<T | typeof absent> {
  try {
    return await work;
  } catch (error) {
    if (["ENOENT", "ENOTDIR", "EISDIR"].includes(errnoOf(error) ?? "")) return absent;
    throw error;
  }
}
