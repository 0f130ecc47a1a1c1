/** An executor in worker threads, started when the first task comes, or before. */
import type { Worker } from "node:worker_threads";
import { cancelled } from "../../host/cancel.ts";
import { startThread } from "../../host/module-beside.ts";
import type { WriteStatistics } from "../blobs/blob-writer.ts";
import { answerRequest } from "./asked-storage.ts";
import { bufferOver } from "./buffer-over.ts";
import type { Advance, Executor, ExecutorOptions, Task } from "./executor.ts";
import { type FromWorker, fromPlainError, type StorageRequest, type ToWorker } from "./worker-protocol.ts";

/**
 * Tasks that a thread has at once: one under way and one waiting, so that it never idles; where the storage is far, several that
 * wait for it.
 */
const tasksPerThread = { near: 2, far: 6 };

interface Pending {
  readonly result: PromiseWithResolvers<unknown>;
  readonly advance: Advance | undefined;
}

interface Thread {
  readonly worker: Worker;
  readonly pending: Map<number, Pending>;
}

interface Job extends Pending {
  readonly task: string;
  readonly input: unknown;
}

export class WorkerExecutor implements Executor {
  readonly #entry: URL;
  readonly #options: ExecutorOptions;
  readonly #threads: Thread[] = [];
  readonly #queue: Job[] = [];
  #nextId = 0;
  #failure: Error | undefined;
  readonly #stop = (): void => void this.close();
  /** Ends the calls of the storage that threads wait for. */
  readonly #closing = new AbortController();
  readonly #depth: number;
  readonly parallel: number;

  /** `entry` is a module that calls `serveTasks`; `threads` is how many may run. */
  constructor(entry: URL, threads: number, options: ExecutorOptions) {
    this.#entry = entry;
    this.#options = options;
    this.#depth = tasksPerThread[options.context.far ? "far" : "near"];
    this.parallel = threads * this.#depth;
    options.context.signal?.addEventListener("abort", this.#stop, { once: true });
  }

  start(): void {
    while (this.#failure === undefined && this.#startable > 0) this.#start();
  }

  async run<In, Out>(task: Task<In, Out>, input: In, advance?: Advance): Promise<Out> {
    if (this.#options.context.signal?.aborted === true) throw cancelled();
    const result = Promise.withResolvers<unknown>();
    this.#queue.push({ task: task.name, input, result, advance });
    this.#dispatch();
    return (await result.promise) as Out;
  }

  async flush(): Promise<WriteStatistics> {
    // Threads that were ended have dropped what they held: that there are none left to ask isn't success.
    if (this.#failure !== undefined) throw this.#failure;
    const each = await Promise.all(
      this.#threads.map(async (thread) => (await this.#send(thread, { kind: "flush" })) as WriteStatistics),
    );
    const sum = { newBytes: 0, storedBytes: 0 };
    for (const one of each) {
      sum.newBytes += one.newBytes;
      sum.storedBytes += one.storedBytes;
    }
    return sum;
  }

  async close(): Promise<void> {
    // The signal may live as long as the daemon; it must not keep this executor, with its share of the index, as long.
    this.#options.context.signal?.removeEventListener("abort", this.#stop);
    this.#fail(cancelled());
    this.#closing.abort();
    await Promise.all(this.#threads.splice(0).map(async (thread) => await thread.worker.terminate()));
  }

  /** Gives queued work to the threads that have least. */
  #dispatch(): void {
    if (this.#failure !== undefined) {
      for (const job of this.#queue.splice(0)) job.result.reject(this.#failure);
      return;
    }
    for (let depth = 0; depth < this.#depth; depth++) {
      for (const thread of this.#threads.filter((one) => one.pending.size === depth)) this.#give(thread);
      while (this.#startable > 0 && this.#queue.length > 0) this.#give(this.#start());
    }
  }

  get #startable(): number {
    return this.parallel / this.#depth - this.#threads.length;
  }

  #give(thread: Thread): void {
    const job = this.#queue.shift();
    if (job === undefined) return;
    const message = { kind: "run", task: job.task, input: job.input } as const;
    this.#send(thread, message, job.advance)
      .then(job.result.resolve, job.result.reject)
      .finally(() => this.#dispatch());
  }

  async #send(thread: Thread, message: DistributiveOmit<ToWorker, "id">, advance?: Advance): Promise<unknown> {
    const id = this.#nextId++;
    const result = Promise.withResolvers<unknown>();
    // A thread that has ended answers nothing any more.
    if (this.#failure !== undefined) throw this.#failure;
    thread.pending.set(id, { result, advance });
    thread.worker.postMessage({ ...message, id });
    return await result.promise;
  }

  #start(): Thread {
    const worker = startThread(this.#entry, {
      workerData: this.#options.seed(),
      resourceLimits: { maxYoungGenerationSizeMb: 3 },
    });
    const thread: Thread = { worker, pending: new Map() };
    worker.on("message", (message: FromWorker) => this.#receive(thread, message));
    worker.on("error", (error: unknown) => this.#fail(error instanceof Error ? error : new Error(String(error))));
    worker.on("exit", (code) => {
      // Of its own accord none does; whatever it had not flushed is lost. After `close` this changes nothing.
      this.#fail(new Error(`a worker thread ended with ${String(code)}`));
    });
    this.#threads.push(thread);
    return thread;
  }

  #receive(thread: Thread, message: FromWorker): void {
    if (message.kind === "pack") {
      this.#options.onPack({ ...message.pack, table: bufferOver(message.pack.table) });
      return;
    }
    if (message.kind === "call") {
      void this.#answer(thread, message.call, message.request);
      return;
    }
    const pending = thread.pending.get(message.id);
    if (message.kind === "advanced") {
      pending?.advance?.(message.bytes);
      return;
    }
    thread.pending.delete(message.id);
    if (message.kind === "done") pending?.result.resolve(message.output);
    else pending?.result.reject(fromPlainError(message.error));
  }

  async #answer({ worker }: Thread, call: number, request: StorageRequest): Promise<void> {
    const answer = await answerRequest(this.#options.context.storage, request, { signal: this.#closing.signal });
    worker.postMessage({ kind: "answer", call, answer }, answer instanceof Uint8Array ? [answer.buffer] : []);
  }

  /** A thread that is gone takes what it had not flushed with it: everything under way fails. */
  #fail(error: Error): void {
    this.#failure ??= error;
    for (const thread of this.#threads) {
      for (const { result } of thread.pending.values()) result.reject(this.#failure);
      thread.pending.clear();
    }
    for (const job of this.#queue.splice(0)) job.result.reject(this.#failure);
  }
}

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;
