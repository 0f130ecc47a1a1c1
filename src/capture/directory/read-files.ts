/** Reads files, in a worker thread: cut, hashed, stored; with the attributes they have when they are opened. */
import { throwIfCancelled } from "../../host/cancel.ts";
import { gearTable, type GearTable } from "../stream/chunker.ts";
import { storeChunk } from "../stream/store-chunk.ts";
import type { Advance, TaskContext } from "../../repository/threads/executor.ts";
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
  /** Told now and then how far a large file is; what is left when it ends isn't told. */
  readonly advance: Advance;
}

/** Bytes of a file between two words about them. */
const bytesPerWord = 8 * 1024 * 1024;

export function readTools(context: TaskContext, device: bigint, advance: Advance = () => undefined): ReadTools {
  return { context, outbox: new NodeOutbox(context), table: gearTable(context.keys), device, advance };
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

async function finish(tools: ReadTools, reading: FileReading): Promise<ReadFile | string> {
  const { context, outbox, table, device, advance } = tools;
  const { path, stats } = reading;
  try {
    if (!stats.isFile()) return "ENOENT"; // Something else has taken the file's place.
    const xattrs = readXattrs(path);
    const chunks: Chunk[] = [];
    let told = 0;
    for (const chunk of reading.chunks(table)) {
      chunks.push("id" in chunk ? chunk : await storeChunk(context, chunk));
      if (reading.position - told < bytesPerWord) continue;
      advance(reading.position - told);
      told = reading.position;
    }
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
