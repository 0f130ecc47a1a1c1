/** Work in threads: tasks run where they have a reader and a writer of their own. */
import type { FsAddress, Storage } from "../../storage/storage.ts";
import { BlobIndex, type TableMemory } from "../blobs/blob-index.ts";
import { BlobReader } from "../blobs/blob-reader.ts";
import { BlobWriter, type Presence, type WriteStatistics } from "../blobs/blob-writer.ts";
import { KeyRing, type KeyRingOptions } from "../keys/key-ring.ts";
import type { PackInfo } from "../blobs/pack.ts";
import { PackCatalog } from "../blobs/pack-catalog.ts";
import { ReadMemory } from "../blobs/read-memory.ts";
import { farReach, nearReach } from "../blobs/runs.ts";
import type { Repository } from "../repository.ts";
import type { PackStorage } from "./asked-storage.ts";

/** What a task has at hand: one thread's. */
export interface TaskContext {
  readonly keys: KeyRing;
  readonly storage: PackStorage;
  readonly reader: BlobReader;
  readonly writer: BlobWriter;
  readonly signal: AbortSignal | undefined;
}

/** Told that so many bytes more are done. Each call is a message to the main thread: for every few MiB, not for every block. */
export type Advance = (bytes: number) => void;

/** A piece of work. Input and output are structured-cloneable. */
export interface Task<In, Out> {
  readonly name: string;
  /** May run beside others of its kind in one thread: while one waits for the storage, another goes on. */
  readonly overlaps?: true;
  run(context: TaskContext, input: In, advance: Advance): Promise<Out>;
}

export interface Executor {
  /** How many tasks may usefully be under way at once. */
  readonly parallel: number;
  /** Makes ready what tasks run in, meanwhile: for whoever has something else to do before the first task. */
  start(): void;
  run<In, Out>(task: Task<In, Out>, input: In, advance?: Advance): Promise<Out>;
  /** Makes durable what the tasks' writers were given. Returns the sums over all of them. */
  flush(): Promise<WriteStatistics>;
  /** Ends the threads; what isn't flushed is dropped. */
  close(): Promise<void>;
}

/** Everything a thread needs, as plain data and shared memory. Holds the master key: it never leaves the process. */
export interface ExecutorSeed {
  readonly keys: KeyRingOptions;
  /** Undefined for a storage that only the main thread uses: threads ask it. */
  readonly folder: FsAddress | undefined;
  readonly far: boolean;
  readonly index: readonly TableMemory[];
  readonly packs: Uint8Array;
  readonly condemned: readonly number[];
}

export interface ExecutorOptions {
  readonly seed: () => ExecutorSeed;
  readonly context: Omit<ContextOptions, "onPack">;
  readonly onPack: (pack: PackInfo) => void;
}

/** Makes an executor: in threads in production, in this thread for tests and small work. */
export type ExecutorFactory = (options: ExecutorOptions) => Executor;

export interface ContextOptions {
  readonly keys: KeyRing;
  readonly storage: PackStorage;
  /** Whether each call takes a round trip on a line. */
  readonly far: boolean;
  readonly index: BlobIndex;
  readonly packs: PackCatalog;
  readonly condemned: ReadonlySet<number>;
  readonly signal?: AbortSignal | undefined;
  readonly onPack: (pack: PackInfo) => void;
}

function makeContext(options: ContextOptions): TaskContext {
  const { keys, storage, far, index, packs, signal, onPack } = options;
  const reach = far ? farReach : nearReach;
  const reader = new BlobReader({ keys, storage, index, packs, reach, memory: new ReadMemory(reach.run) });
  const writer = new BlobWriter({ keys, storage, presence: presenceOf(index, options.condemned), onPack, signal });
  return { keys, storage, reader, writer, signal };
}

/** Blobs that are only in condemned packs count as absent: a sweep may be about to delete them. */
export function presenceOf(index: BlobIndex, condemned: ReadonlySet<number>): Presence {
  if (condemned.size === 0) return index;
  return {
    has(id) {
      for (const pack of index.packsOf(id)) if (!condemned.has(pack)) return true;
      return false;
    },
  };
}

/** Runs tasks in this thread, one after the other as they come: a task may count on being alone in its thread. */
export const inlineExecutor: ExecutorFactory = (options) => {
  const context = makeContext({ ...options.context, onPack: options.onPack });
  let last: Promise<unknown> = Promise.resolve();
  return {
    parallel: 1,
    start: () => undefined,
    run: async (task, input, advance = () => undefined) => {
      const running = last.then(async () => await task.run(context, input, advance));
      last = running.catch(() => undefined);
      return await running;
    },
    flush: async () => {
      await context.writer.flush();
      return { ...context.writer.statistics };
    },
    close: () => Promise.resolve(),
  };
};

/** A repository that is seen through something else than its address is worked on in this thread. */
export function executorFor({ address }: Pick<Repository, "address">, factory: ExecutorFactory): ExecutorFactory {
  return address === undefined ? inlineExecutor : factory;
}

export type OpenForThread = (folder: FsAddress) => Storage;

/** The context of a worker thread, from its seed. */
export function contextOfSeed(seed: ExecutorSeed, storage: PackStorage, onPack: (pack: PackInfo) => void): TaskContext {
  return makeContext({
    keys: new KeyRing(seed.keys),
    storage,
    far: seed.far,
    index: new BlobIndex(seed.index),
    packs: new PackCatalog(seed.packs),
    condemned: new Set(seed.condemned),
    onPack,
  });
}
