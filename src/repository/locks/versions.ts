/** Versions of objects, in order. */
import type { ObjectLocks, ObjectVersion } from "../../storage/object-locks.ts";
import type { CallOptions } from "../../storage/storage.ts";

/** Versions by the objects' names, oldest first. Throws a storage error. */
export async function versionsByName(
  locks: ObjectLocks,
  prefix: string,
  options: CallOptions,
): Promise<Map<string, ObjectVersion[]>> {
  const named = new Map<string, ObjectVersion[]>();
  for await (const version of locks.versions(prefix, options)) {
    const versions = named.get(version.name);
    if (versions === undefined) named.set(version.name, [version]);
    else versions.push(version);
  }
  for (const [name, versions] of named) named.set(name, oldestFirst(versions));
  return named;
}

/** Times are of whole seconds; stores list the versions of an object newest first, and markers apart from them. */
function oldestFirst(versions: readonly ObjectVersion[]): ObjectVersion[] {
  return versions.toReversed().toSorted((a, b) => a.time - b.time || Number(a.current) - Number(b.current));
}
