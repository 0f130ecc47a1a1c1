/**
 * Work for the threads, in batches: a message to a thread and back costs as much as reading a small file.
 *
 * Files go before folders, so that not more is found than can soon be read; of the folders the one found last goes first,
 * so that few are open at a time.
 */
import type { Advance } from "../../repository/threads/executor.ts";
import type { WriteSession } from "../../repository/blobs/write-session.ts";
import { type MadeNode, storeNodes } from "./node-outbox.ts";
import { readFilesTask } from "./read-files-task.ts";
import type { ReadFile } from "./read-files.ts";
import { type ScanFolder, type ScanInput, type ScannedFolder, scanFolders } from "./scan-folders-task.ts";

const filesPerTask = 64;
const bytesPerTask = 8 * 1024 * 1024;
const foldersPerTask = 32;

interface Waiting<In, Out> {
  readonly input: In;
  /** In bytes. */
  readonly weight: number;
  readonly result: PromiseWithResolvers<Out>;
}

/** What a thread has made of a batch: a result for each, and the nodes that they name. */
interface Batch<Out> {
  readonly results: readonly Out[];
  readonly nodes: readonly MadeNode[];
}

interface FileToRead {
  readonly path: Uint8Array;
  readonly advance: Advance;
}

type WaitingFile = Waiting<FileToRead, ReadFile | string>;
type WaitingFolder = Waiting<ScanFolder, ScannedFolder>;

export class WorkQueue {
  readonly #session: WriteSession;
  readonly #options: Omit<ScanInput, "folders">;
  readonly #files: WaitingFile[] = [];
  readonly #folders: WaitingFolder[] = [];
  #running = 0;
  #failed = false;
  #failure: unknown;

  constructor(session: WriteSession, options: Omit<ScanInput, "folders">) {
    this.#session = session;
    this.#options = options;
  }

  async scan(folder: ScanFolder): Promise<ScannedFolder> {
    return await this.#enqueue(this.#folders, folder, 0);
  }

  /**
   * The file, or the errno's name; `size` in bytes is what it is expected to have. Of a file that is large, `advance` is told how far
   * it is.
   */
  async read(path: Uint8Array, size: number, advance: Advance): Promise<ReadFile | string> {
    return await this.#enqueue(this.#files, { path, advance }, size);
  }

  async #enqueue<In, Out>(queue: Waiting<In, Out>[], input: In, weight: number): Promise<Out> {
    if (this.#failed) throw this.#failure;
    const result = Promise.withResolvers<Out>();
    queue.push({ input, weight, result });
    // In a moment: whoever adds this one may be about to add more.
    queueMicrotask(() => this.#pump());
    return await result.promise;
  }

  #pump(): void {
    while (this.#running < this.#session.executor.parallel) {
      const work = this.#next();
      if (work === undefined) return;
      this.#running += 1;
      void work.finally(() => {
        this.#running -= 1;
        this.#pump();
      });
    }
  }

  #next(): Promise<void> | undefined {
    const files = batchLength(this.#files);
    const full = files > 0 && (files < this.#files.length || files === filesPerTask);
    if (full || (files > 0 && this.#folders.length === 0)) {
      const batch = this.#files.splice(0, files);
      const input = { device: this.#options.device, paths: batch.map((one) => one.input.path) };
      const advance = batch.length === 1 ? batch[0]?.input.advance : undefined;
      return this.#settle(batch, async () => await this.#session.run(readFilesTask, input, advance));
    }
    if (this.#folders.length === 0) return undefined;
    const batch = this.#folders.splice(-foldersPerTask).reverse();
    const input = { ...this.#options, folders: batch.map((one) => one.input) };
    return this.#settle(batch, async () => await this.#session.run(scanFolders, input));
  }

  /** Runs a batch. The first failure ends everything: what waits, and what is asked for later. */
  async #settle<In, Out>(batch: readonly Waiting<In, Out>[], run: () => Promise<Batch<Out>>): Promise<void> {
    try {
      const { results, nodes } = await run();
      await storeNodes(this.#session.writer, nodes);
      for (const [position, { result }] of batch.entries()) result.resolve(results[position] as Out);
    } catch (error) {
      this.#failed = true;
      this.#failure ??= error;
      for (const { result } of [...batch, ...this.#files.splice(0), ...this.#folders.splice(0)]) result.reject(error);
    }
  }
}

/** How many of the first files make one task. */
function batchLength(files: readonly WaitingFile[]): number {
  let bytes = 0;
  for (const [position, { weight }] of files.entries()) {
    bytes += weight;
    if (position + 1 === filesPerTask) return filesPerTask;
    if (bytes > bytesPerTask) return Math.max(1, position);
  }
  return files.length;
}
