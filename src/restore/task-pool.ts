/** Tasks under way, not more at once than threads can use. */
import type { Task } from "../repository/threads/executor.ts";
import type { WriteSession } from "../repository/blobs/write-session.ts";

export class TaskPool {
  readonly #session: WriteSession;
  readonly #running = new Set<Promise<void>>();
  #failed = false;
  #failure: unknown;

  constructor(session: WriteSession) {
    this.#session = session;
  }

  /** Resolves when the task has been handed over and there is room for another. Throws what an earlier one threw. */
  async add<In, Out>(task: Task<In, Out>, input: In, use: (output: Out) => void): Promise<void> {
    this.#throwIfFailed();
    const running: Promise<void> = this.#session
      .run(task, input)
      .then(use)
      .catch((error: unknown) => {
        this.#failed = true;
        this.#failure ??= error;
      })
      .finally(() => this.#running.delete(running));
    this.#running.add(running);
    while (this.#running.size >= this.#session.executor.parallel) await Promise.race(this.#running);
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
