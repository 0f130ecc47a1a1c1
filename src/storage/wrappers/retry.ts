import { Repeater, type RetryOptions } from "../repeater.ts";
import type { CallOptions, Storage } from "../storage.ts";

/**
 * Tries again what failed with an error that says it may succeed (`retryable`). All calls of the contract can be
 * repeated: `put` replaces, `delete` forgives, a listing begins anew and skips what it has yielded already.
 */
export function withRetry(storage: Storage, options: RetryOptions): Storage {
  const repeater = new Repeater(options);

  const repeat = async <T>({ signal }: CallOptions, call: () => Promise<T>): Promise<T> =>
    await repeater.repeat(call, signal);

  return {
    location: storage.location,
    put: (name, data, call = {}) => repeat(call, () => storage.put(name, data, call)),
    get: (name, range, call = {}) => repeat(call, () => storage.get(name, range, call)),
    stat: (name, call = {}) => repeat(call, () => storage.stat(name, call)),
    delete: (name, call = {}) => repeat(call, () => storage.delete(name, call)),

    async *list(prefix, call = {}) {
      const yielded = new Set<string>();
      for (let failures = 1; ; failures++) {
        try {
          for await (const info of storage.list(prefix, call)) {
            if (yielded.has(info.name)) continue;
            yielded.add(info.name);
            yield info;
          }
          return;
        } catch (error) {
          await repeater.pause(error, failures, call.signal);
        }
      }
    },
  };
}
