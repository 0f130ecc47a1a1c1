/** Versions of objects: in order, and compared. */
import { isStillpointError } from "../../errors.ts";
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

/** Whether two versions of an object have the same bytes: read only when the store's own tags don't tell. Throws a storage error. */
export async function sameContent(
  locks: ObjectLocks,
  a: ObjectVersion,
  b: ObjectVersion,
  options: CallOptions,
): Promise<boolean> {
  if (a.version === b.version) return true;
  if (a.size !== b.size) return false;
  if (a.etag === b.etag && a.etag !== "") return true;
  try {
    return (await locks.get(a.name, a.version, options)).equals(await locks.get(b.name, b.version, options));
  } catch (error) {
    if (isStillpointError(error, "object_missing")) return false;
    throw error;
  }
}
