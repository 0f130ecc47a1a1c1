/** Looks at folders, in a worker thread: lists them, compares with what is known, and says which files must be read. */
import { lstatSync, readlinkSync, type Stats } from "node:fs";
import { throwIfCancelled } from "../../host/cancel.ts";
import { systemClock } from "../../host/clock.ts";
import { errnoOf } from "../../host/files.ts";
import type { Task, TaskContext } from "../../repository/threads/executor.ts";
import { blobKinds } from "../../repository/format.ts";
import { type DirectoryEntry, nameOf, type NodeReader, readDirectory } from "../../repository/tree/directory-tree.ts";
import type { CallOptions } from "../../storage/storage.ts";
import { absentContents, isStored, type StoredContent } from "./absent-contents.ts";
import { type EntryType, isUnchanged, linkOf, makeEntry, typeOf } from "./entry.ts";
import { compileExcludes, type Filter } from "./exclude.ts";
import { fingerprint, type FolderPlace, type ListedItem, listFolder } from "./list-folder.ts";
import { readXattrs } from "./read-xattrs.ts";

/** The kernel stamps a change with its last tick, 10 ms ago at most: two changes closer than that may look like one. In ms. */
export const tick = 20;
/** A time of change further in the future, in ms, comes from a clock that was set; a change now would alter it. */
const farFuture = 1000;

export interface ScanInput {
  readonly exclude: readonly string[];
  /** The device of the source's own folder; folders on others are not entered when `oneFileSystem` says so. */
  readonly device: bigint;
  readonly oneFileSystem: boolean;
  readonly folders: readonly ScanFolder[];
}

export interface ScanFolder extends FolderPlace {
  /** What the folder held when it was last captured: the id of its tree (hex), or the entries themselves. */
  readonly known: string | readonly DirectoryEntry[] | undefined;
  /** What was last changed at this time, in ms since the epoch, or after it must be read again, whatever it looks like. */
  readonly trustBefore: number;
}

export interface ScannedFolder {
  /** The errno's name, when the folder can't be read; then it has no entries. */
  readonly failure: string | undefined;
  /** When it was looked at, in ms since the epoch, and what it looked like. */
  readonly time: number;
  readonly fingerprint: Uint8Array;
  /** Something changed so shortly before that a further change might not show. */
  readonly racy: boolean;
  /** In order of names; undefined for the files that must be read. */
  readonly entries: readonly (DirectoryEntry | undefined)[];
  readonly files: readonly FoundFile[];
  readonly folders: readonly FoundFolder[];
  readonly leftOut: readonly { readonly name: Uint8Array; readonly failure: string }[];
}

export interface FoundFile {
  readonly position: number;
  readonly name: Uint8Array;
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

export const scanFolders: Task<ScanInput, readonly ScannedFolder[]> = {
  name: "scan-folders",
  async run(context, input) {
    const exclude = compileExcludes(input.exclude);
    const reader = await readAhead(context, input.folders);
    const scanned: ScannedFolder[] = [];
    const doubtful: TakenOver[] = [];
    for (const folder of input.folders) {
      throwIfCancelled(context.signal);
      const known = await knownEntries(reader, folder.known, context);
      // What this capture stored a moment ago is there, be it in another thread's writer.
      const stored = typeof folder.known === "string" ? (id: Buffer) => isStored(context, id) : () => true;
      scanned.push(scanFolder(input, folder, exclude, { entries: known, isStored: stored, doubtful }));
    }
    for (const { readAgain } of await absentContents(context, doubtful)) readAgain();
    return scanned;
  },
};

/** A reader that has the known trees at hand: they lie together in a pack, so all are read as one. */
async function readAhead(context: TaskContext, folders: readonly ScanFolder[]): Promise<NodeReader> {
  const ids = folders.flatMap(({ known }) => (typeof known === "string" ? [Buffer.from(known, "hex")] : []));
  const contents = new Map<string, Buffer>();
  const keep = (position: number, content: Buffer | Error): void => {
    if (Buffer.isBuffer(content)) contents.set((ids[position] as Buffer).toString("latin1"), content);
  };
  await context.reader.readMany(blobKinds.directoryNode, ids, keep, context);
  return {
    read: async (kind, id, options) =>
      contents.get(id.toString("latin1")) ?? (await context.reader.read(kind, id, options)),
  };
}

/** By name (as Latin-1). A known tree that can't be read only makes for more work. */
async function knownEntries(
  reader: NodeReader,
  known: ScanFolder["known"],
  options: CallOptions,
): Promise<Map<string, DirectoryEntry>> {
  const entries =
    typeof known === "string"
      ? await readDirectory(reader, Buffer.from(known, "hex"), options).catch(() => [])
      : (known ?? []);
  return new Map(entries.map((entry) => [nameOf(entry).toString("latin1"), entry]));
}

/** A file that seems unchanged and consists of several chunks: whether they are all there is seen later, for many at once. */
interface TakenOver extends StoredContent {
  readonly readAgain: () => void;
}

interface Known {
  /** By name (as Latin-1). */
  readonly entries: ReadonlyMap<string, DirectoryEntry>;
  /** Whether a blob that the entries name is still there: a pack may have been lost, and what a point lacks all later ones would. */
  readonly isStored: (id: Buffer) => boolean;
  readonly doubtful: TakenOver[];
}

function scanFolder(input: ScanInput, folder: ScanFolder, exclude: Filter, known: Known): ScannedFolder {
  const time = systemClock.now();
  let items: ListedItem[];
  try {
    items = listFolder(folder, exclude);
  } catch (error) {
    const failure = failureOf(error);
    const nothing = { entries: [], files: [], folders: [], leftOut: [] };
    return { failure, time, fingerprint: Buffer.from(failure), racy: false, ...nothing };
  }
  const scan = new FolderScan(input, folder, time, known);
  for (const item of items) scan.take(item);
  const { racy, entries, files, folders, leftOut } = scan;
  return { failure: undefined, time, fingerprint: fingerprint(items), racy, entries, files, folders, leftOut };
}

class FolderScan {
  racy = false;
  readonly entries: (DirectoryEntry | undefined)[] = [];
  readonly files: FoundFile[] = [];
  readonly folders: FoundFolder[] = [];
  readonly leftOut: { readonly name: Uint8Array; readonly failure: string }[] = [];
  readonly #input: ScanInput;
  readonly #folder: ScanFolder;
  readonly #time: number;
  readonly #known: Known;

  constructor(input: ScanInput, folder: ScanFolder, time: number, known: Known) {
    this.#input = input;
    this.#folder = folder;
    this.#time = time;
    this.#known = known;
  }

  take({ name, path, stats }: ListedItem): void {
    const type = typeof stats === "string" ? undefined : typeOf(stats);
    if (typeof stats === "string" || type === undefined) {
      this.leftOut.push({ name, failure: typeof stats === "string" ? stats : "EINVAL" });
      return;
    }
    this.racy ||= stats.ctimeMs >= this.#time - tick && stats.ctimeMs < this.#time + farFuture;
    try {
      this.#add(name, path, type, stats);
    } catch (error) {
      // What has gone meanwhile shows as a change of the folder when it is looked at again.
      if (!isGone(failureOf(error))) this.leftOut.push({ name, failure: failureOf(error) });
    }
  }

  #add(name: Buffer, path: Buffer, type: EntryType, stats: Stats): void {
    const before = this.#known.entries.get(name.toString("latin1"));
    const trusted = before !== undefined && stats.ctimeMs < this.#folder.trustBefore;
    let same = trusted && isUnchanged(before, type, stats) ? before : undefined;
    const position = this.entries.length;
    if (type === "file") {
      const link = stats.nlink > 1 ? `${String(stats.dev)}:${String(stats.ino)}` : undefined;
      same = this.#takeOver(same, { position, name, size: stats.size, link });
    }
    if (type === "directory") {
      const known = before?.type === "directory" ? before.tree : undefined;
      const enter = !this.#input.oneFileSystem || BigInt(stats.dev) === this.#input.device;
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
    const link = type === "directory" ? undefined : linkOf(stats, this.#input.device);
    const target = type === "symlink" ? readlinkSync(path, { encoding: "buffer" }) : undefined;
    const tree = type === "directory" ? "" : undefined;
    return makeEntry(name, type, stats, { link, tree, target, xattrs: readXattrs(path) });
  }
}

/** The errno's name; what isn't an error of the system is thrown on. */
export function failureOf(error: unknown): string {
  const errno = errnoOf(error);
  if (errno === undefined) throw error;
  return errno;
}

/** Whether it was taken away, or something else put in its place, after it was listed. */
export function isGone(failure: string): boolean {
  return ["ENOENT", "ENOTDIR", "ELOOP", "ESTALE", "EISDIR", "ENXIO"].includes(failure);
}
