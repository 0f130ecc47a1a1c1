import type { CallOptions, Storage } from "../storage.ts";
import { Turns } from "../turns.ts";

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
