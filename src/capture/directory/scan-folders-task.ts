/** Captures folders in a worker thread, as far as that goes there: large files, and the folders in them, are left to others. */
import { throwIfCancelled } from "../../host/cancel.ts";
import type { BlobAdder } from "../../repository/blobs/blob-writer.ts";
import { blobKinds } from "../../repository/format.ts";
import type { Task, TaskContext } from "../../repository/threads/executor.ts";
import {
  type DirectoryEntry,
  nameOf,
  type NodeReader,
  readDirectory,
  writeDirectory,
} from "../../repository/tree/directory-tree.ts";
import type { CallOptions } from "../../storage/storage.ts";
import { absentContents, isStored } from "./absent-contents.ts";
import { compileExcludes } from "./exclude.ts";
import { FolderScan, type FoundFile, type TakenOver } from "./folder-scan.ts";
import type { FolderPlace } from "./list-folder.ts";
import type { MadeNode } from "./node-outbox.ts";
import { readFiles, type ReadTools, readTools } from "./read-files.ts";

/** Bytes of files that a task reads at most; what is left makes work for the other threads. */
const mostRead = 16 * 1024 * 1024;

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
  /** See `Known`. */
  readonly trustBefore: number;
}

export interface ScanOutput {
  readonly results: readonly ScannedFolder[];
  readonly nodes: readonly MadeNode[];
}

/** What was seen of a folder, see `FolderScan`; and its tree, or what it lacks. */
export interface ScannedFolder extends Pick<FolderScan, "time" | "fingerprint" | "failure" | "racy" | "leftOut"> {
  /** Bytes of files that were read. */
  readonly read: number;
  readonly content: FolderTree | FolderParts;
}

/** All of it is captured: `tree` is the id (hex), `size` the bytes of the files. */
export interface FolderTree {
  readonly tree: string;
  readonly size: number;
}

export type FolderParts = Pick<FolderScan, "entries" | "files" | "folders">;

export const scanFolders: Task<ScanInput, ScanOutput> = {
  name: "scan-folders",
  async run(context, input) {
    const exclude = compileExcludes(input.exclude);
    const reader = await readAhead(context, input.folders);
    const doubtful: TakenOver[] = [];
    const scans: FolderScan[] = [];
    for (const folder of input.folders) {
      throwIfCancelled(context.signal);
      const entries = await knownEntries(reader, folder.known, context);
      // What this capture stored a moment ago is there, be it in another thread's writer.
      const stored = typeof folder.known === "string" ? (id: Buffer) => isStored(context, id) : () => true;
      const scan = new FolderScan(input, { entries, trustBefore: folder.trustBefore, isStored: stored, doubtful });
      scan.look(folder, exclude);
      scans.push(scan);
    }
    for (const { readAgain } of await absentContents(context, doubtful)) readAgain();
    return await finish(readTools(context, input.device), scans);
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

/** Reads what isn't too large, and makes the trees of the folders that are complete then. */
async function finish(tools: ReadTools, scans: readonly FolderScan[]): Promise<ScanOutput> {
  const { outbox } = tools;
  const results: ScannedFolder[] = [];
  let room = mostRead;
  for (const scan of scans) {
    const now: FoundFile[] = [];
    const later: FoundFile[] = [];
    for (const file of scan.files) {
      // A file with several names is read once for all of them, which only the main thread can see to.
      const fits = file.link === undefined && file.size <= room;
      if (fits) room -= file.size;
      (fits ? now : later).push(file);
    }
    const read = await readInto(tools, scan, now);
    const { time, fingerprint, failure, racy, leftOut, entries, folders } = scan;
    const complete = failure === undefined && later.length === 0 && folders.length === 0;
    const content = complete ? await makeTree(outbox, entries) : { entries, files: later, folders };
    results.push({ time, fingerprint, failure, racy, leftOut, read, content });
  }
  return { results, nodes: outbox.nodes };
}

async function readInto(tools: ReadTools, scan: FolderScan, files: readonly FoundFile[]): Promise<number> {
  let read = 0;
  let position = 0;
  const paths = files.map(({ path }) => path);
  for await (const file of readFiles(tools, paths)) {
    scan.settle(files[position++] as FoundFile, file);
    if (typeof file !== "string") read += file.read;
  }
  return read;
}

/** Of all entries that are there. */
export async function makeTree(
  writer: BlobAdder,
  entries: readonly (DirectoryEntry | undefined)[],
): Promise<FolderTree> {
  const present = entries.filter((entry) => entry !== undefined);
  const size = present.reduce((sum, entry) => sum + (entry.size ?? 0), 0);
  return { tree: (await writeDirectory(writer, present)).toString("hex"), size };
}
