/** Which captures may run at the same time: one for each source, and so many in all. A group counts as one. */
import { cancelled, throwIfCancelled } from "../host/cancel.ts";

interface Waiting {
  readonly sources: readonly string[];
  readonly enter: () => void;
}

export class CaptureGate {
  #limit: number;
  readonly #inside = new Set<string>();
  #running = 0;
  /** In the order of arrival; one whose source is busy lets others pass. */
  readonly #waiting: Waiting[] = [];

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Takes effect from the next capture on; those under way go on. */
  set limit(limit: number) {
    this.#limit = limit;
    this.#admit();
  }

  /** Runs `work` once all the sources are free and there is room. Throws `cancelled` when the signal aborts before. */
  async run<T>(sources: readonly string[], work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    await this.#enter(sources, signal);
    try {
      return await work();
    } finally {
      for (const source of sources) this.#inside.delete(source);
      this.#running -= 1;
      this.#admit();
    }
  }

  #enter(sources: readonly string[], signal: AbortSignal | undefined): Promise<void> {
    throwIfCancelled(signal);
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
        reject(cancelled());
      };
      const enter = (): void => {
        signal?.removeEventListener("abort", leave);
        resolve();
      };
      const waiting: Waiting = { sources, enter };
      signal?.addEventListener("abort", leave, { once: true });
      this.#waiting.push(waiting);
      this.#admit();
    });
  }

  #admit(): void {
    while (this.#running < this.#limit) {
      const next = this.#waiting.findIndex(({ sources }) => sources.every((source) => !this.#inside.has(source)));
      if (next === -1) return;
      const [admitted] = this.#waiting.splice(next, 1);
      if (admitted === undefined) return;
      for (const source of admitted.sources) this.#inside.add(source);
      this.#running += 1;
      admitted.enter();
    }
  }
}
