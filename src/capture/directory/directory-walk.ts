/** The walk over a directory: what changed is read, what didn't is taken over, and each folder becomes a node. */
import { forEachAtOnce } from "../../repository/points/catalog.ts";
import {
  type DirectoryEntry,
  encodeText,
  nameOf,
  readDirectory,
  writeDirectory,
} from "../../repository/tree/directory-tree.ts";
import { writeStreamTree } from "../../repository/tree/stream-tree.ts";
import type { CaptureContext } from "../capture.ts";
import { splitChunks } from "../stream/store-chunk.ts";
import type { Folder } from "./folder.ts";
import { joinPath } from "./list-folder.ts";
import type { ReadFile } from "./read-files-task.ts";
import {
  type FoundFile,
  type FoundFolder,
  isGone,
  type ScanFolder,
  type ScanInput,
  type ScannedFolder,
  tick,
} from "./scan-folders-task.ts";
import { verifyFolders } from "./verify-folders-task.ts";
import { WorkQueue } from "./work-queue.ts";

const foldersPerVerification = 128;

export interface WalkOptions extends Omit<ScanInput, "folders"> {
  readonly context: CaptureContext;
  readonly root: Folder;
  /** What is known of the root from the previous point, and until when that can be trusted. */
  readonly known: Pick<ScanFolder, "known" | "trustBefore">;
}

export class DirectoryWalk {
  readonly #options: WalkOptions;
  readonly #queue: WorkQueue;
  /** Files with several names that were read in this pass: once. */
  #links = new Map<string, Promise<ReadFile | string>>();
  #progress = 0;
  /** Bytes read so far. */
  read = 0;

  constructor(options: WalkOptions) {
    const { exclude, device, oneFileSystem } = options;
    this.#options = options;
    this.#queue = new WorkQueue(options.context.session, { exclude, device, oneFileSystem });
  }

  /** Captures whatever has changed since the last time; all of it, the first time. */
  async capture(): Promise<void> {
    this.#links = new Map();
    const { root, known } = this.#options;
    if (root.tree === undefined) await this.#capture(root, known);
    else await this.#refresh(root);
  }

  /**
   * Looks at every folder again and notes which have changed since they were captured, or changed so shortly before
   * that nobody can tell. Returns how many.
   */
  async verify(): Promise<number> {
    const { context, root, exclude } = this.#options;
    const folders = [...root.all()];
    const batches: Folder[][] = [];
    for (let at = 0; at < folders.length; at += foldersPerVerification)
      batches.push(folders.slice(at, at + foldersPerVerification));
    await forEachAtOnce(batches, context.session.executor.parallel, async (batch) => {
      const places = batch.map(({ path, relative, fingerprint }) => ({ path, relative, fingerprint }));
      const changed = await context.session.run(verifyFolders, { exclude, folders: places });
      for (const position of changed) (batch[position] as Folder).changed = true;
    });
    for (const folder of folders) folder.changed ||= folder.racy;
    markParents(root);
    return folders.filter((folder) => folder.changed).length;
  }

  /** Captures a folder and what is below it. Its `tree` is undefined afterwards when it has gone. */
  async #capture(folder: Folder, known: Pick<ScanFolder, "known" | "trustBefore">): Promise<void> {
    const { path, relative } = folder;
    const scanned = await this.#queue.scan({ path, relative, ...known });
    folder.forgetLeftOut();
    folder.changed = folder.changedBelow = false;
    folder.fingerprint = scanned.fingerprint;
    folder.time = scanned.time;
    folder.racy = scanned.racy;
    folder.failure = scanned.failure;
    if (scanned.failure !== undefined) return await this.#unreadable(folder, scanned.failure);
    folder.leaveOut(scanned.leftOut);
    const entries: (DirectoryEntry | undefined)[] = [...scanned.entries];
    const children = new Map<string, Folder>();
    await Promise.all([
      ...scanned.files.map(async (found) => {
        entries[found.position] = await this.#readFile(folder, found);
      }),
      ...scanned.folders.map(async (found) => {
        entries[found.position] = await this.#enter(folder, scanned, found, children);
      }),
    ]);
    folder.children = children;
    await this.#write(folder, entries);
  }

  /** Goes on to a folder in one that was just scanned; returns its entry. */
  async #enter(
    folder: Folder,
    scanned: ScannedFolder,
    found: FoundFolder,
    children: Map<string, Folder>,
  ): Promise<DirectoryEntry | undefined> {
    const entry = scanned.entries[found.position] as DirectoryEntry;
    const name = Buffer.from(found.name);
    if (!found.enter) return { ...entry, tree: (await this.#empty()).toString("hex") };
    const key = name.toString("latin1");
    const child = folder.children.get(key) ?? folder.child(name);
    children.set(key, child);
    if (child.tree === undefined)
      await this.#capture(child, { known: found.known, trustBefore: this.#options.known.trustBefore });
    else await this.#refresh(child);
    if (child.tree === undefined) children.delete(key);
    return child.tree && { ...entry, tree: child.tree.toString("hex") };
  }

  /** Brings a folder that was captured before up to date, when something in it has changed. */
  async #refresh(folder: Folder): Promise<void> {
    if (folder.tree === undefined || (!folder.changed && !folder.changedBelow)) return;
    const entries = await readDirectory(this.#options.context.reader, folder.tree, this.#options.context);
    if (folder.changed) {
      await this.#capture(folder, { known: entries, trustBefore: folder.time - tick });
      return;
    }
    folder.changedBelow = false;
    const fresh = entries.map(async (entry) => {
      const child = folder.children.get(nameOf(entry).toString("latin1"));
      if (child === undefined) return entry;
      await this.#refresh(child);
      return child.tree && { ...entry, tree: child.tree.toString("hex") };
    });
    await this.#write(folder, await Promise.all(fresh));
  }

  async #write(folder: Folder, entries: readonly (DirectoryEntry | undefined)[]): Promise<void> {
    const present = entries.filter((entry) => entry !== undefined);
    folder.size = present.reduce((sum, entry) => sum + (entry.size ?? 0), 0);
    folder.tree = await writeDirectory(this.#options.context.session.writer, present);
    this.#advance(folder.size);
  }

  async #unreadable(folder: Folder, failure: string): Promise<void> {
    folder.children.clear();
    folder.size = 0;
    folder.tree = isGone(failure) ? undefined : await this.#empty();
    if (folder.tree !== undefined) folder.leaveOut([{ failure }]);
  }

  async #empty(): Promise<Buffer> {
    return await writeDirectory(this.#options.context.session.writer, []);
  }

  /** A file's complete entry; undefined when it has gone or can't be read. */
  async #readFile(folder: Folder, found: FoundFile): Promise<DirectoryEntry | undefined> {
    const name = Buffer.from(found.name);
    const path = joinPath(folder.path, name);
    const { size, link } = found;
    const file = await (link === undefined ? this.#readOnce(path, size) : this.#readLinked(path, size, link));
    if (typeof file === "string") {
      if (!isGone(file)) folder.leaveOut([{ name, failure: file }]);
      return undefined;
    }
    if (file.entry.root !== "") return { ...encodeText("name", name), ...file.entry };
    const tree = await writeStreamTree(this.#options.context.session.writer, splitChunks(file.chunks));
    return { ...encodeText("name", name), ...file.entry, ...tree };
  }

  async #readLinked(path: Buffer, size: number, link: string): Promise<ReadFile | string> {
    const earlier = this.#links.get(link);
    const file = earlier === undefined ? "ENOENT" : await earlier;
    if (typeof file !== "string") return file;
    const reading = this.#readOnce(path, size);
    this.#links.set(link, reading);
    return await reading;
  }

  async #readOnce(path: Buffer, size: number): Promise<ReadFile | string> {
    const file = await this.#queue.read(path, size);
    if (typeof file !== "string") this.read += file.read;
    return file;
  }

  #advance(bytes: number): void {
    this.#progress += bytes;
    this.#options.context.progress({ done: this.#progress, total: undefined });
  }
}

/** Notes in each folder whether one below it has changed. Returns whether the folder or one below it has. */
function markParents(folder: Folder): boolean {
  folder.changedBelow = false;
  for (const child of folder.children.values()) if (markParents(child)) folder.changedBelow = true;
  return folder.changed || folder.changedBelow;
}
