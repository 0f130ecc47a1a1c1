/** What a folder holds just now, compared with what is known of it. */
import { lstatSync, readlinkSync, type Stats } from "node:fs";
import { systemClock } from "../../host/clock.ts";
import type { DirectoryEntry } from "../../repository/tree/directory-tree.ts";
import { tick } from "../tick.ts";
import type { StoredContent } from "./absent-contents.ts";
import { type EntryType, isUnchanged, linkOf, makeEntry, nameEntry, typeOf } from "./entry.ts";
import type { Filter } from "./exclude.ts";
import { failureOf, isGone } from "./failure.ts";
import { fingerprint, type FolderPlace, type ListedItem, listFolder } from "./list-folder.ts";
import type { ReadFile } from "./read-files.ts";
import { readXattrs } from "./read-xattrs.ts";

/** A time of change further in the future, in ms, comes from a clock that was set; a change now would alter it. */
const farFuture = 1000;

export interface FoundFile {
  readonly position: number;
  readonly name: Uint8Array;
  readonly path: Uint8Array;
  /** In bytes, as far as can be known beforehand. */
  readonly size: number;
  /** The same for all names of one file; undefined when it has only one. */
  readonly link: string | undefined;
}

export interface FoundFolder {
  /** Position of its entry, which lacks its `tree`. */
  readonly position: number;
  readonly name: Uint8Array;
  /** The id of its tree in what is known. */
  readonly known: string | undefined;
  /** Whether it is to be captured too; else it stays empty, being another file system's. */
  readonly enter: boolean;
}

export interface LeftOutItem {
  readonly name: Uint8Array;
  /** The errno's name. */
  readonly failure: string;
}

/** A file that seems unchanged and consists of several chunks: whether they are all there is seen later, for many at once. */
export interface TakenOver extends StoredContent {
  readonly readAgain: () => void;
}

export interface Known {
  /** By name (as Latin-1). */
  readonly entries: ReadonlyMap<string, DirectoryEntry>;
  /** What was last changed at this time, in ms since the epoch, or after it must be read again, whatever it looks like. */
  readonly trustBefore: number;
  /** Whether a blob that the entries name is still there: a pack may have been lost, and what a point lacks all later ones would. */
  readonly isStored: (id: Buffer) => boolean;
  readonly doubtful: TakenOver[];
}

export class FolderScan {
  /** When it was looked at, in ms since the epoch. */
  readonly time = systemClock.now();
  /** What it looked like. */
  fingerprint = "";
  /** The errno's name, when the folder can't be read; then it has no entries. */
  failure: string | undefined;
  /** Something changed so shortly before that a further change might not show. */
  racy = false;
  /** In order of names; undefined for the files that must be read, and for those that had gone then. */
  readonly entries: (DirectoryEntry | undefined)[] = [];
  readonly files: FoundFile[] = [];
  readonly folders: FoundFolder[] = [];
  readonly leftOut: LeftOutItem[] = [];
  readonly #device: bigint;
  readonly #oneFileSystem: boolean;
  readonly #known: Known;

  constructor(options: { readonly device: bigint; readonly oneFileSystem: boolean }, known: Known) {
    this.#device = options.device;
    this.#oneFileSystem = options.oneFileSystem;
    this.#known = known;
  }

  look(folder: FolderPlace, exclude: Filter): void {
    let items: ListedItem[];
    try {
      items = listFolder(folder, exclude);
    } catch (error) {
      this.failure = this.fingerprint = failureOf(error);
      return;
    }
    for (const item of items) this.#take(item);
    this.fingerprint = fingerprint(items);
  }

  /** Puts a file that was read, or why it couldn't be, into its place. */
  settle({ position, name }: FoundFile, file: ReadFile | string): void {
    if (typeof file !== "string") this.entries[position] = nameEntry(name, file.entry);
    else if (!isGone(file)) this.leftOut.push({ name, failure: file });
  }

  #take({ name, path, stats }: ListedItem): void {
    const type = typeof stats === "string" ? undefined : typeOf(stats);
    if (typeof stats === "string" || type === undefined) {
      this.leftOut.push({ name, failure: typeof stats === "string" ? stats : "EINVAL" });
      return;
    }
    this.racy ||= stats.ctimeMs >= this.time - tick && stats.ctimeMs < this.time + farFuture;
    try {
      this.#add(name, path, type, stats);
    } catch (error) {
      // What has gone meanwhile shows as a change of the folder when it is looked at again.
      if (!isGone(failureOf(error))) this.leftOut.push({ name, failure: failureOf(error) });
    }
  }

  #add(name: Buffer, path: Buffer, type: EntryType, stats: Stats): void {
    const before = this.#known.entries.get(name.toString("latin1"));
    const trusted = before !== undefined && stats.ctimeMs < this.#known.trustBefore;
    let same = trusted && isUnchanged(before, type, stats) ? before : undefined;
    const position = this.entries.length;
    if (type === "file") {
      const link = stats.nlink > 1 ? `${String(stats.dev)}:${String(stats.ino)}` : undefined;
      same = this.#takeOver(same, { position, name, path, size: stats.size, link });
    }
    if (type === "directory") {
      const known = before?.type === "directory" ? before.tree : undefined;
      const enter = !this.#oneFileSystem || BigInt(stats.dev) === this.#device;
      this.folders.push({ position, name, known, enter });
    }
    this.entries.push(same ?? (type === "file" ? undefined : this.#describe(name, path, type)));
  }

  /** Notes a file that must be read; else returns its entry. */
  #takeOver(same: DirectoryEntry | undefined, found: FoundFile): DirectoryEntry | undefined {
    const { size = 0, depth = 0, root } = same ?? {};
    if (root === undefined || !this.#known.isStored(Buffer.from(root, "hex"))) {
      this.files.push(found);
      return undefined;
    }
    if (depth > 0) this.#known.doubtful.push({ size, depth, root, readAgain: () => this.#readAgain(found) });
    return same;
  }

  #readAgain(found: FoundFile): void {
    this.entries[found.position] = undefined;
    this.files.push(found);
  }

  /** Looks once more, since times are needed to the nanosecond now. */
  #describe(name: Buffer, path: Buffer, type: EntryType): DirectoryEntry {
    const stats = lstatSync(path, { bigint: true });
    const link = type === "directory" ? undefined : linkOf(stats, this.#device);
    const target = type === "symlink" ? readlinkSync(path, { encoding: "buffer" }) : undefined;
    const tree = type === "directory" ? "" : undefined;
    return makeEntry(name, type, stats, { link, tree, target, xattrs: readXattrs(path) });
  }
}
