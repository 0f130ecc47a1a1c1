/** Adding blobs to a repository: packs first, then the index that names them. */
import { toError } from "../../errors.ts";
import { isFar } from "../../storage/is-far.ts";
import type { BlobStore } from "./blob-store.ts";
import { BlobWriter, type WriteStatistics } from "./blob-writer.ts";
import { type Advance, type Executor, type ExecutorFactory, type Task, presenceOf } from "../threads/executor.ts";
import { sealIndexes } from "./index-object.ts";
import type { PackInfo } from "./pack.ts";
import type { Repository } from "../repository.ts";

/** An index object is written each time that many packs are durable, so that work cut off is found again by the next. */
const packsPerIndex = 64;

export interface WriteSessionOptions {
  /** Of this thread's writer; see there. */
  readonly packsInFlight?: number | undefined;
  /** What is written to: by default the store's own repository, as it was loaded. */
  readonly repository?: Repository | undefined;
}

export class WriteSession {
  readonly store: BlobStore;
  readonly signal: AbortSignal | undefined;
  /** This thread's writer: for trees, and for what is small. */
  readonly writer: BlobWriter;
  readonly executor: Executor;
  readonly #repository: Repository;
  readonly #waiting: PackInfo[] = [];
  #indexing: Promise<void> = Promise.resolve();
  #failure: Error | undefined;

  constructor(
    store: BlobStore,
    makeExecutor: ExecutorFactory,
    signal?: AbortSignal,
    { packsInFlight, repository = store.repository }: WriteSessionOptions = {},
  ) {
    this.store = store;
    this.signal = signal;
    this.#repository = repository;
    const { keys, storage, address, limited } = repository;
    const onPack = (pack: PackInfo): void => this.#packIsDurable(pack);
    const { index, packs, condemned } = store;
    const presence = presenceOf(index, condemned);
    this.writer = new BlobWriter({ keys, storage, presence, packsInFlight, onPack, signal });
    const far = isFar(address);
    this.executor = makeExecutor({
      context: { keys, storage, far, index, packs, condemned, signal },
      seed: () => ({
        keys: keys.options,
        folder: address?.kind === "fs" && limited !== true ? address : undefined,
        far,
        index: index.memory,
        packs: packs.records,
        condemned: [...condemned],
      }),
      onPack,
    });
  }

  async run<In, Out>(task: Task<In, Out>, input: In, advance?: Advance): Promise<Out> {
    return await this.executor.run(task, input, advance);
  }

  /** Makes everything added durable and indexed: from then on a manifest may name it. */
  async finish(): Promise<WriteStatistics> {
    const threads = await this.executor.flush();
    await this.writer.flush();
    await this.indexDurable();
    const { newBytes, storedBytes } = this.writer.statistics;
    return { newBytes: newBytes + threads.newBytes, storedBytes: storedBytes + threads.storedBytes };
  }

  /** Indexes the packs that are durable by now: also what can't be finished isn't all for nothing then. Throws what made that fail. */
  async indexDurable(): Promise<void> {
    this.#writeIndex();
    await this.#indexing;
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Ends the threads. What wasn't finished is dropped; packs already stored are found by the next session or swept. */
  async close(): Promise<void> {
    await this.executor.close();
    await this.#indexing;
  }

  #packIsDurable(pack: PackInfo): void {
    this.#waiting.push(pack);
    if (this.#waiting.length >= packsPerIndex) this.#writeIndex();
  }

  #writeIndex(): void {
    const packs = this.#waiting.splice(0);
    if (packs.length === 0) return;
    this.#indexing = this.#indexing
      .then(async () => {
        const { keys, storage } = this.#repository;
        for (const { name, data } of sealIndexes(keys, packs)) await storage.put(name, [data], { signal: this.signal });
        for (const pack of packs) this.store.add(pack);
      })
      .catch((error: unknown) => {
        this.#failure ??= toError(error);
      });
  }
}
