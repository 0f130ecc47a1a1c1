import { cancelled, throwIfCancelled } from "../../host/cancel.ts";
import type { CallOptions, Storage } from "../storage.ts";

/**
 * Lets at most `limit` calls be at work at once; the others wait their turn, first come, first served. A listing counts
 * only while it fetches: its consumer may make other calls meanwhile.
 */
export function withConcurrencyLimit(storage: Storage, limit: number): Storage {
  const turns = new Turns(limit);

  const inTurn = async <T>({ signal }: CallOptions, call: () => Promise<T>): Promise<T> => {
    await turns.begin(signal);
    try {
      return await call();
    } finally {
      turns.end();
    }
  };

  return {
    location: storage.location,
    put: (name, data, call = {}) => inTurn(call, () => storage.put(name, data, call)),
    get: (name, range, call = {}) => inTurn(call, () => storage.get(name, range, call)),
    stat: (name, call = {}) => inTurn(call, () => storage.stat(name, call)),
    delete: (name, call = {}) => inTurn(call, () => storage.delete(name, call)),

    async *list(prefix, call = {}) {
      const listing = storage.list(prefix, call)[Symbol.asyncIterator]();
      try {
        for (;;) {
          const step = await inTurn(call, () => listing.next());
          if (step.done) return;
          yield step.value;
        }
      } finally {
        await listing.return?.();
      }
    },
  };
}

class Turns {
  #free: number;
  readonly #waiting = new Set<() => void>();

  constructor(limit: number) {
    this.#free = limit;
  }

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
