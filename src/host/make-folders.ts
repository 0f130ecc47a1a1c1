/** Folders that survive the loss of power. */

import * as path from "node:path";
import { errnoOf, type Files } from "./files.ts";

/**
 * Makes `folder` and its parents below `top` (which must exist) where they lack, and forces each to the medium, even
 * one that exists already: whoever made it a moment ago may not have come to that yet.
 *
 * @throws what `files` throws
 */
export async function makeFoldersDurably(files: Files, folder: string, top = path.parse(folder).root): Promise<void> {
  const steps = path.relative(top, folder).split(path.sep).filter(Boolean);
  let parent = top;
  for (const step of steps) {
    const child = path.join(parent, step);
    const existed = await makeOrFind(files, child);
    try {
      await files.syncFolder(parent);
    } catch (error) {
      // Someone else's folder that we may pass through but not open: its owner has made it long ago.
      if (!existed || errnoOf(error) !== "EACCES") throw error;
    }
    parent = child;
  }
}

async function makeOrFind(files: Files, folder: string): Promise<boolean> {
  try {
    await files.mkdir(folder);
    return false;
  } catch (error) {
    if (errnoOf(error) === "EEXIST" && (await files.stat(folder)).kind === "folder") return true;
    throw error;
  }
}
