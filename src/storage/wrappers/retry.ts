import type { ObjectVersion } from "../object-locks.ts";
import { Repeater, type RetryOptions } from "../repeater.ts";
import type { CallOptions, ObjectInfo, Storage } from "../storage.ts";
import { aroundLocks } from "./around-locks.ts";

/**
 * Tries again what failed with an error that says it may succeed (`retryable`). All calls of the contract can be
 * repeated: `put` replaces, `delete` forgives, a listing begins anew and skips what it has yielded already.
 */
export function withRetry(storage: Storage, options: RetryOptions): Storage {
  const repeater = new Repeater(options);

  const repeat = async <T>({ signal }: CallOptions, call: () => Promise<T>): Promise<T> =>
    await repeater.repeat(call, signal);

  async function* listRepeatedly<T>(
    list: () => AsyncIterable<T>,
    keyOf: (item: T) => string,
    { signal }: CallOptions,
  ): AsyncIterable<T> {
    const yielded = new Set<string>();
    for (let failures = 1; ; failures++) {
      try {
        for await (const item of list()) {
          const key = keyOf(item);
          if (yielded.has(key)) continue;
          yielded.add(key);
          yield item;
        }
        return;
      } catch (error) {
        await repeater.pause(error, failures, signal);
      }
    }
  }

  return {
    location: storage.location,
    put: (name, data, call = {}) => repeat(call, () => storage.put(name, data, call)),
    get: (name, range, call = {}) => repeat(call, () => storage.get(name, range, call)),
    stat: (name, call = {}) => repeat(call, () => storage.stat(name, call)),
    delete: (name, call = {}) => repeat(call, () => storage.delete(name, call)),
    list: (prefix, call = {}) => listRepeatedly(() => storage.list(prefix, call), nameOf, call),
    locks: aroundLocks(storage.locks, {
      call: (_, call, work) => repeat(call, work),
      list: (call, list) => listRepeatedly(list, versionOf, call),
    }),
  };
}

const nameOf = ({ name }: ObjectInfo): string => name;
const versionOf = ({ name, version }: ObjectVersion): string => `${name} ${version}`;
