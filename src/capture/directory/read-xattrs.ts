/** Extended attributes, POSIX ACLs and file capabilities among them (xattr(7)). */
import { errnoOf } from "../../host/files.ts";
import { getXattr, listXattrs, syscallsAvailable } from "../../host/syscalls.ts";

/**
 * All that this process may see, values in base64, in ascending order of names. None where the file system has none, and
 * under a Node that can't read them.
 *
 * @throws the system's error, `ENOENT` among them
 */
export function readXattrs(path: Buffer): Readonly<Record<string, string>> {
  const found: [string, string][] = [];
  for (const name of names(path)) {
    const value = valueOf(path, name);
    if (value !== undefined) found.push([name.toString(), value.toString("base64")]);
  }
  return Object.fromEntries(found.toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

function names(path: Buffer): Buffer[] {
  if (!syscallsAvailable()) return [];
  try {
    return listXattrs(path);
  } catch (error) {
    if (isUnsupported(error)) return [];
    throw error;
  }
}

/** Undefined when the attribute has gone meanwhile, or is one that the file system only lists. */
function valueOf(path: Buffer, name: Buffer): Buffer | undefined {
  try {
    return getXattr(path, name);
  } catch (error) {
    if (isUnsupported(error) || errnoOf(error) === "ENODATA") return undefined;
    throw error;
  }
}

function isUnsupported(error: unknown): boolean {
  return ["ENOTSUP", "EOPNOTSUPP", "ENOSYS"].includes(errnoOf(error) ?? "");
}
