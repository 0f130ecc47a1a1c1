import type { ObjectLocks } from "../../storage/object-locks.ts";
import type { Storage } from "../../storage/storage.ts";

/** What never changes, and what recovery points need (docs/format.md section 12). */
const lockedNames = /^(?:format$|(?:keys|packs|index|points|config)\/)/;

export interface LockingPutsOptions {
  readonly storage: Storage;
  readonly locks: ObjectLocks;
  /** In ms since the epoch, by the store's clock. */
  readonly until: number;
  /** Told of each object that was put, and locked from its first moment. */
  readonly onPut: (name: string, version: string) => void;
}

/** The storage, with each put of what is to be locked made a locked one. */
export function lockingPuts({ storage, locks, until, onPut }: LockingPutsOptions): Storage {
  return {
    location: storage.location,
    locks,
    async put(name, data, call) {
      if (lockedNames.test(name)) onPut(name, await locks.put(name, data, until, call));
      else await storage.put(name, data, call);
    },
    get: (name, range, call) => storage.get(name, range, call),
    stat: (name, call) => storage.stat(name, call),
    list: (prefix, call) => storage.list(prefix, call),
    delete: (name, call) => storage.delete(name, call),
  };
}
