import type { CallOptions, Storage } from "../storage.ts";
import { Turns } from "../turns.ts";
import { aroundLocks } from "./around-locks.ts";

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

  async function* listInTurn<T>(listing: AsyncIterable<T>, call: CallOptions): AsyncIterable<T> {
    const steps = listing[Symbol.asyncIterator]();
    try {
      for (;;) {
        const step = await inTurn(call, () => steps.next());
        if (step.done === true) return;
        yield step.value;
      }
    } finally {
      await steps.return?.();
    }
  }

  return {
    location: storage.location,
    put: (name, data, call = {}) => inTurn(call, () => storage.put(name, data, call)),
    get: (name, range, call = {}) => inTurn(call, () => storage.get(name, range, call)),
    stat: (name, call = {}) => inTurn(call, () => storage.stat(name, call)),
    delete: (name, call = {}) => inTurn(call, () => storage.delete(name, call)),
    list: (prefix, call = {}) => listInTurn(storage.list(prefix, call), call),
    locks: aroundLocks(storage.locks, {
      call: (_, options, call) => inTurn(options, call),
      list: (options, list) => listInTurn(list(), options),
    }),
  };
}
