import { StillpointError } from "../../errors.ts";
import type { Storage } from "../storage.ts";

/** Refuses every change, loudly. */
export function readOnly(storage: Storage): Storage {
  const refuse = async (action: string, name: string): Promise<never> => {
    throw new StillpointError("storage_denied", {
      what: `Cannot ${action} ${name} in ${storage.location}: it was opened for reading only`,
      safe: "Nothing was changed.",
    });
  };
  const { locks } = storage;
  return {
    location: storage.location,
    put: (name) => refuse("store", name),
    delete: (name) => refuse("delete", name),
    get: (name, range, call) => storage.get(name, range, call),
    stat: (name, call) => storage.stat(name, call),
    list: (prefix, call) => storage.list(prefix, call),
    locks: locks && {
      put: (name) => refuse("store", name),
      extend: (name) => refuse("lock", name),
      restore: (name) => refuse("bring back", name),
      require: (call) => locks.require(call),
      lockedUntil: (name, version, call) => locks.lockedUntil(name, version, call),
      versions: (prefix, call) => locks.versions(prefix, call),
      get: (name, version, call) => locks.get(name, version, call),
    },
  };
}
