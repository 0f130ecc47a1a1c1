/** Reads files, in a worker thread: cut, hashed, stored; with the attributes they have when they are opened. */
import { throwIfCancelled } from "../../host/cancel.ts";
import { gearTable, type GearTable } from "../stream/chunker.ts";
import { storeChunk } from "../stream/store-chunk.ts";
import type { TaskContext } from "../../repository/threads/executor.ts";
import type { DirectoryEntry } from "../../repository/tree/directory-tree.ts";
import { type Chunk, writeStreamTree } from "../../repository/tree/stream-tree.ts";
import { linkOf, makeEntry } from "./entry.ts";
import { FileReading } from "./file-reading.ts";
import { failureOf } from "./failure.ts";
import { NodeOutbox } from "./node-outbox.ts";
import { readXattrs } from "./read-xattrs.ts";

export interface ReadFile {
  /** Without a name. */
  readonly entry: DirectoryEntry;
  /** Bytes read: without holes. */
  readonly read: number;
}

/** What reading takes, the same for all files of a task. */
export interface ReadTools {
  readonly context: TaskContext;
  readonly outbox: NodeOutbox;
  readonly table: GearTable;
  /** Of the source's own folder. */
  readonly device: bigint;
}

export function readTools(context: TaskContext, device: bigint): ReadTools {
  return { context, outbox: new NodeOutbox(context), table: gearTable(context.keys), device };
}

/** For each path the file, or the errno's name. */
export async function* readFiles(tools: ReadTools, paths: readonly Uint8Array[]): AsyncGenerator<ReadFile | string> {
  let next = begin(paths[0]);
  try {
    for (let position = 0; position < paths.length; position++) {
      throwIfCancelled(tools.context.signal);
      const current = next;
      // Opened before this file is worked on, so that the disk and the processor are busy together.
      next = begin(paths[position + 1]);
      yield typeof current === "string" ? current : await finish(tools, current);
    }
  } finally {
    if (typeof next !== "string") next.close();
  }
}

/** Opens a file, and has the kernel read its beginning; or says why that can't be done. */
function begin(path: Uint8Array | undefined): FileReading | string {
  if (path === undefined) return "ENOENT";
  try {
    return new FileReading(Buffer.from(path));
  } catch (error) {
    return failureOf(error);
  }
}

async function finish({ context, outbox, table, device }: ReadTools, reading: FileReading): Promise<ReadFile | string> {
  const { path, stats } = reading;
  try {
    if (!stats.isFile()) return "ENOENT"; // Something else has taken the file's place.
    const xattrs = readXattrs(path);
    const chunks: Chunk[] = [];
    for (const chunk of reading.chunks(table)) chunks.push("id" in chunk ? chunk : await storeChunk(context, chunk));
    const content = { ...(await writeStreamTree(outbox, chunks)), sparse: reading.sparse };
    return {
      entry: makeEntry(undefined, "file", stats, { link: linkOf(stats, device), content, xattrs }),
      read: reading.read,
    };
  } catch (error) {
    return failureOf(error);
  } finally {
    reading.close();
  }
}
