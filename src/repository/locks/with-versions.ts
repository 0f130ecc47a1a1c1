/** Reading a storage in which somebody has hidden objects, or put others over them. */
import type { ObjectLocks, ObjectVersion } from "../../storage/object-locks.ts";
import type { CallOptions, ObjectInfo, Storage } from "../../storage/storage.ts";
import { versionsByName } from "./versions.ts";

/** The version of an object that is to be read, whatever its name gives. */
export interface TrueVersion {
  readonly version: string;
  /** As a listing of objects would have it. */
  readonly info: ObjectInfo;
}

/** The storage, read with these versions in the places of what their names give. Writing goes to it as it is. */
export function withVersions(storage: Storage, locks: ObjectLocks, versions: readonly TrueVersion[]): Storage {
  const instead = new Map(versions.map((one) => [one.info.name, one]));
  return {
    location: storage.location,
    locks: storage.locks,
    put: (name, data, call) => storage.put(name, data, call),
    delete: (name, call) => storage.delete(name, call),
    async get(name, range, call) {
      const one = instead.get(name);
      if (one === undefined) return await storage.get(name, range, call);
      const data = await locks.get(name, one.version, call);
      return range === undefined ? data : Buffer.from(data.subarray(range.offset, range.offset + range.length));
    },
    async stat(name, call) {
      return instead.get(name)?.info ?? (await storage.stat(name, call));
    },
    async *list(prefix, call) {
      for await (const info of storage.list(prefix, call)) if (!instead.has(info.name)) yield info;
      for (const { info } of instead.values()) if (info.name.startsWith(prefix)) yield info;
    },
  };
}

/**
 * The storage with `format` and the keys as they were put first: what is needed to open a repository whose objects somebody has
 * hidden, or put others over. They never change, and the first version is locked. Throws a storage error.
 */
export async function withFirstKeys(storage: Storage, locks: ObjectLocks, options: CallOptions): Promise<Storage> {
  const first: TrueVersion[] = [];
  for (const prefix of ["format", "keys/"]) {
    for (const [name, versions] of await versionsByName(locks, prefix, options)) {
      const one = versions.find(({ marker }) => !marker);
      if (one !== undefined) first.push(trueVersion(name, one));
    }
  }
  return withVersions(storage, locks, first);
}

function trueVersion(name: string, { version, size, time }: ObjectVersion): TrueVersion {
  return { version, info: { name, size, time } };
}
