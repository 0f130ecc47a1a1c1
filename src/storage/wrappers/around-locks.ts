import type { ObjectLocks, ObjectVersion } from "../object-locks.ts";
import { sizeOf } from "../size-of.ts";
import type { CallOptions } from "../storage.ts";

/** What a wrapper does around each call, whichever it is. */
export interface AroundCalls {
  /** `operation`: what it resembles most of the storage contract; `bytesOf`: how much content moved, by its result. */
  call<T>(
    operation: "put" | "get" | "stat",
    options: CallOptions,
    call: () => Promise<T>,
    bytesOf?: (result: T) => number,
  ): Promise<T>;
  list(options: CallOptions, list: () => AsyncIterable<ObjectVersion>): AsyncIterable<ObjectVersion>;
}

/** The calls on versions and locks of a storage, if it has them, each with the same around it. */
export function aroundLocks(locks: ObjectLocks | undefined, around: AroundCalls): ObjectLocks | undefined {
  if (locks === undefined) return undefined;
  return {
    require: (options = {}) => around.call("stat", options, () => locks.require(options)),
    put: (name, data, until, options = {}) => {
      const put = async (): Promise<string> => await locks.put(name, data, until, options);
      return around.call("put", options, put, () => sizeOf(data));
    },
    lockedUntil: (name, version, options = {}) =>
      around.call("stat", options, () => locks.lockedUntil(name, version, options)),
    extend: (name, version, until, options = {}) =>
      around.call("put", options, () => locks.extend(name, version, until, options)),
    versions: (prefix, options = {}) => around.list(options, () => locks.versions(prefix, options)),
    get: (name, version, options = {}) => {
      const get = async (): Promise<Buffer> => await locks.get(name, version, options);
      return around.call("get", options, get, (data) => data.length);
    },
    restore: (name, version, until, options = {}) =>
      around.call("put", options, () => locks.restore(name, version, until, options)),
  };
}
