/** New small files that must never take the place of another: keys, a first configuration. */
import * as path from "node:path";
import { StillpointError } from "../errors.ts";
import { reasonOf } from "../host/errno-words.ts";
import { errnoOf } from "../host/files.ts";
import { makeFoldersDurably } from "../host/make-folders.ts";
import { nodeFiles } from "../host/node-files.ts";

/**
 * Makes the file, mode 0600, with its folders, durably. Throws `usage` when it is there already, else `storage_denied`
 * or `storage_failed`.
 */
export async function makeFile(file: string, text: string): Promise<void> {
  const folder = path.dirname(file);
  try {
    await makeFoldersDurably(nodeFiles, folder);
    await createSynced(file, text);
    await nodeFiles.syncFolder(folder);
  } catch (error) {
    if (error instanceof StillpointError) throw error;
    const errno = errnoOf(error) ?? "";
    throw new StillpointError(["EACCES", "EPERM", "EROFS"].includes(errno) ? "storage_denied" : "storage_failed", {
      what: `Cannot make ${file}: ${reasonOf(error)}`,
      safe: "Nothing else was changed.",
      next: "Choose a place that can be written, or run it as root.",
      cause: error,
    });
  }
}

/** Whether anything is at that path. */
export async function isThere(file: string): Promise<boolean> {
  try {
    await nodeFiles.stat(file);
    return true;
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return false;
    throw error;
  }
}

/** Nothing, or all of it: half a key would be worse than none. */
async function createSynced(file: string, text: string): Promise<void> {
  try {
    await nodeFiles.createSynced(file, [Buffer.from(text)]);
  } catch (error) {
    if (errnoOf(error) === "EEXIST") {
      throw new StillpointError("usage", {
        what: `Cannot make ${file}: it is there already`,
        safe: "It was left as it is.",
        next: "Choose another name, or move it away.",
      });
    }
    await nodeFiles.unlink(file).catch(() => undefined);
    throw error;
  }
}
