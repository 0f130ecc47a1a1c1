/** The walk over a directory: what changed is read, what didn't is taken over, and each folder becomes a node. */
import type { Advance } from "../../repository/threads/executor.ts";
import { forEachAtOnce } from "../../repository/points/catalog.ts";
import { type DirectoryEntry, nameOf, readDirectory } from "../../repository/tree/directory-tree.ts";
import type { CaptureContext } from "../capture.ts";
import { tick } from "../tick.ts";
import type { Folder } from "./folder.ts";
import { nameEntry } from "./entry.ts";
import { isGone } from "./failure.ts";
import type { ReadFile } from "./read-files.ts";
import type { FoundFile, FoundFolder } from "./folder-scan.ts";
import { type FolderParts, type FolderTree, makeTree, type ScanFolder, type ScanInput } from "./scan-folders-task.ts";
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
  #done = 0;
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
    // Captured again: it doesn't count until it is.
    this.#done -= folder.size;
    folder.size = 0;
    const scanned = await this.#queue.scan({ path, relative, ...known });
    folder.forgetLeftOut();
    folder.changed = folder.changedBelow = false;
    folder.fingerprint = scanned.fingerprint;
    folder.time = scanned.time;
    folder.racy = scanned.racy;
    folder.failure = scanned.failure;
    if (scanned.failure !== undefined) return await this.#unreadable(folder, scanned.failure);
    folder.leaveOut(scanned.leftOut);
    this.read += scanned.read;
    const { content } = scanned;
    if ("tree" in content) return this.#captured(folder, content);
    const tree = await this.#complete(folder, content);
    this.#captured(folder, tree, sizeOf(content.files));
  }

  /** Captures what a thread has left to do in a folder. */
  async #complete(folder: Folder, { entries: scanned, files, folders }: FolderParts): Promise<FolderTree> {
    const entries = [...scanned];
    const children = new Map<string, Folder>();
    await Promise.all([
      ...files.map(async (found) => {
        entries[found.position] = await this.#readFile(folder, found);
      }),
      ...folders.map(async (found) => {
        entries[found.position] = await this.#enter(folder, entries[found.position], found, children);
      }),
    ]);
    folder.children = children;
    return await makeTree(this.#options.context.session.writer, entries);
  }

  /** Goes on to a folder in one that was just scanned; returns its entry. */
  async #enter(
    folder: Folder,
    entry: DirectoryEntry | undefined,
    found: FoundFolder,
    children: Map<string, Folder>,
  ): Promise<DirectoryEntry | undefined> {
    if (entry === undefined) return undefined;
    const name = Buffer.from(found.name);
    if (!found.enter) return { ...entry, tree: await this.#empty() };
    const key = name.toString("latin1");
    const child = folder.children.get(key) ?? folder.child(name);
    children.set(key, child);
    if (child.tree === undefined)
      await this.#capture(child, { known: found.known, trustBefore: this.#options.known.trustBefore });
    else await this.#refresh(child);
    if (child.tree === undefined) children.delete(key);
    return child.tree === undefined ? undefined : { ...entry, tree: child.tree };
  }

  /** Brings a folder that was captured before up to date, when something in it has changed. */
  async #refresh(folder: Folder): Promise<void> {
    if (folder.tree === undefined || (!folder.changed && !folder.changedBelow)) return;
    const { context } = this.#options;
    const entries = await readDirectory(context.reader, Buffer.from(folder.tree, "hex"), context);
    if (folder.changed) {
      await this.#capture(folder, { known: entries, trustBefore: folder.time - tick });
      return;
    }
    folder.changedBelow = false;
    const fresh = entries.map(async (entry) => {
      const child = folder.children.get(nameOf(entry).toString("latin1"));
      if (child === undefined) return entry;
      await this.#refresh(child);
      return child.tree === undefined ? undefined : { ...entry, tree: child.tree };
    });
    this.#captured(folder, await makeTree(context.session.writer, await Promise.all(fresh)));
  }

  /** `counted` bytes of it are in the progress already. */
  #captured(folder: Folder, { tree, size }: FolderTree, counted = 0): void {
    this.#advance(size - counted - folder.size);
    folder.tree = tree;
    folder.size = size;
  }

  #advance(bytes: number): void {
    const { progress, previous } = this.#options.context;
    this.#done += bytes;
    // As large as the last time, most likely.
    progress({ done: this.#done, total: previous?.manifest.statistics.size });
  }

  async #unreadable(folder: Folder, failure: string): Promise<void> {
    folder.children.clear();
    folder.size = 0;
    folder.tree = isGone(failure) ? undefined : await this.#empty();
    if (folder.tree !== undefined) folder.leaveOut([{ failure }]);
  }

  async #empty(): Promise<string> {
    return (await makeTree(this.#options.context.session.writer, [])).tree;
  }

  /** A file's complete entry; undefined when it has gone or can't be read. */
  async #readFile(folder: Folder, found: FoundFile): Promise<DirectoryEntry | undefined> {
    const { name, size, link } = found;
    let left = size;
    // It may have grown since it was found.
    const advance = (bytes: number): void => {
      const counted = Math.min(bytes, left);
      left -= counted;
      this.#advance(counted);
    };
    const file = await (link === undefined ? this.#readOnce(found, advance) : this.#readLinked(found, link, advance));
    this.#advance(left);
    if (typeof file !== "string") return nameEntry(name, file.entry);
    if (!isGone(file)) folder.leaveOut([{ name, failure: file }]);
    return undefined;
  }

  async #readLinked(found: FoundFile, link: string, advance: Advance): Promise<ReadFile | string> {
    const earlier = this.#links.get(link);
    const file = earlier === undefined ? "ENOENT" : await earlier;
    if (typeof file !== "string") return file;
    const reading = this.#readOnce(found, advance);
    this.#links.set(link, reading);
    return await reading;
  }

  async #readOnce({ path, size }: FoundFile, advance: Advance): Promise<ReadFile | string> {
    const file = await this.#queue.read(path, size, advance);
    if (typeof file !== "string") this.read += file.read;
    return file;
  }
}

function sizeOf(files: readonly FoundFile[]): number {
  return files.reduce((sum, { size }) => sum + size, 0);
}

/** Notes in each folder whether one below it has changed. Returns whether the folder or one below it has. */
function markParents(folder: Folder): boolean {
  folder.changedBelow = false;
  for (const child of folder.children.values()) if (markParents(child)) folder.changedBelow = true;
  return folder.changed || folder.changedBelow;
}
