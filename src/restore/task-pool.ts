/** Tasks under way, not more at once than threads can use, and memory holds. */
import type { Task } from "../repository/threads/executor.ts";
import type { WriteSession } from "../repository/blobs/write-session.ts";

export class TaskPool {
  readonly #session: WriteSession;
  readonly #running = new Set<Promise<void>>();
  readonly #mostBytes: number;
  #bytes = 0;
  #failed = false;
  #failure: unknown;

  /** `mostBytes`: what tasks under way restore together, at most, in bytes. */
  constructor(session: WriteSession, mostBytes: number) {
    this.#session = session;
    this.#mostBytes = mostBytes;
  }

  /**
   * Resolves when the task, which restores so many bytes, has been handed over and there is room for another. Throws what an
   * earlier one threw.
   */
  async add<In, Out>(task: Task<In, Out>, input: In, bytes: number, use: (output: Out) => void): Promise<void> {
    this.#throwIfFailed();
    this.#bytes += bytes;
    const running: Promise<void> = this.#session
      .run(task, input)
      .then(use)
      .catch((error: unknown) => {
        this.#failed = true;
        this.#failure ??= error;
      })
      .finally(() => {
        this.#bytes -= bytes;
        this.#running.delete(running);
      });
    this.#running.add(running);
    while (this.#running.size >= this.#session.executor.parallel || this.#bytes >= this.#mostBytes)
      await Promise.race(this.#running);
    this.#throwIfFailed();
  }

  /** Resolves when all are done. Throws what one of them threw. */
  async drain(): Promise<void> {
    await Promise.all(this.#running);
    this.#throwIfFailed();
  }

  #throwIfFailed(): void {
    if (this.#failed) throw this.#failure;
  }
}
