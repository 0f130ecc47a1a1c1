import { cancelled, throwIfCancelled } from "../host/cancel.ts";

/** A number of turns, given to those who wait in the order in which they came. */
export class Turns {
  #free: number;
  readonly #waiting = new Set<() => void>();

  constructor(limit: number) {
    this.#free = limit;
  }

  /** @throws StillpointError `cancelled` */
  async begin(signal: AbortSignal | undefined): Promise<void> {
    throwIfCancelled(signal);
    if (this.#free > 0) {
      this.#free -= 1;
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const stop = (): void => {
        this.#waiting.delete(start);
        reject(cancelled());
      };
      const start = (): void => {
        signal?.removeEventListener("abort", stop);
        resolve();
      };
      this.#waiting.add(start);
      signal?.addEventListener("abort", stop, { once: true });
    });
  }

  /** Hands the turn to whoever has waited longest. */
  end(): void {
    const [next] = this.#waiting;
    if (next) {
      this.#waiting.delete(next);
      next();
    } else {
      this.#free += 1;
    }
  }
}
