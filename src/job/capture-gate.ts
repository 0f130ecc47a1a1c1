/** Which captures may run at the same time: one for each source, and so many in all. */
import { cancelled, throwIfCancelled } from "../host/cancel.ts";

interface Waiting {
  readonly source: string;
  readonly enter: () => void;
}

export class CaptureGate {
  #limit: number;
  readonly #inside = new Set<string>();
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

  /** Runs `work` once the source is free and there is room. Throws `cancelled` when the signal aborts before. */
  async run<T>(source: string, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    await this.#enter(source, signal);
    try {
      return await work();
    } finally {
      this.#inside.delete(source);
      this.#admit();
    }
  }

  #enter(source: string, signal: AbortSignal | undefined): Promise<void> {
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
      const waiting: Waiting = { source, enter };
      signal?.addEventListener("abort", leave, { once: true });
      this.#waiting.push(waiting);
      this.#admit();
    });
  }

  #admit(): void {
    while (this.#inside.size < this.#limit) {
      const next = this.#waiting.findIndex(({ source }) => !this.#inside.has(source));
      if (next === -1) return;
      const [admitted] = this.#waiting.splice(next, 1);
      if (admitted === undefined) return;
      this.#inside.add(admitted.source);
      admitted.enter();
    }
  }
}
