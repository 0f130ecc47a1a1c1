import * as fs from "node:fs/promises";
import * as path from "node:path";

/** Read and write, and search, for users who are neither the owner nor in the group. */
const readOrWrite = 0o006;
const search = 0o001;

/**
 * The permission bits of a file that every user of this host can read or change; undefined when they can't, as in a folder that is
 * closed to them, and when that can't be seen from here.
 */
export async function exposedMode(file: string): Promise<number | undefined> {
  try {
    const real = await fs.realpath(file);
    const { mode } = await fs.stat(real);
    if ((mode & readOrWrite) === 0) return undefined;
    for (let folder = path.dirname(real); ; folder = path.dirname(folder)) {
      if (((await fs.stat(folder)).mode & search) === 0) return undefined;
      if (folder === path.dirname(folder)) return mode & 0o7777;
    }
  } catch {
    return undefined;
  }
}
