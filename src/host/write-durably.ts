/** The durable write, and what a killed one leaves behind. */

import * as path from "node:path";
import type { Files } from "./files.ts";
import { randomBytes } from "./random.ts";

export interface DurableWriteOptions {
  /** Where the temporary file goes, on the same file system. By default the folder of the target. */
  readonly tempFolder?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Writes a file so that, whatever happens, a reader finds the old content whole, or the new content whole, and the new
 * content survives the loss of power once this has resolved: temporary file, write, fsync, rename, fsync of the folder.
 * The folder itself must exist and be durable.
 *
 * When it fails, the temporary file is removed and the target is as it was; only a failure of the last fsync leaves the
 * new content in place, not known to be durable.
 *
 * @throws what `files` throws, or StillpointError `cancelled`.
 */
export async function writeDurably(
  files: Files,
  target: string,
  pieces: readonly Uint8Array[],
  options: DurableWriteOptions = {},
): Promise<void> {
  const folder = path.dirname(target);
  const temp = path.join(options.tempFolder ?? folder, tempName());
  try {
    await files.createSynced(temp, pieces, options.signal);
    await files.rename(temp, target);
  } catch (error) {
    // The first error is the one to report; a file that can't be removed now is found by removeLeftovers later.
    await files.unlink(temp).catch(() => undefined);
    throw error;
  }
  await files.syncFolder(folder);
}

const tempPattern = /^\.stillpoint-[0-9a-f]{32}\.tmp$/;

/** A name that no other writer has, for a file that isn't complete yet. */
export function tempName(): string {
  return `.stillpoint-${randomBytes(16).toString("hex")}.tmp`;
}

/** A durable write takes seconds: whatever is a day old belongs to a process that was killed. */
const leftoverAge = 24 * 60 * 60 * 1000;

/**
 * Removes the temporary files that killed writers left in `folder`, and nothing else. Other writers may be at work: should
 * a wrong clock make a live file look old, that one write fails with `ENOENT` and nothing durable is touched.
 *
 * @param now ms since the epoch
 * @returns how many were removed
 */
export async function removeLeftovers(files: Files, folder: string, now: number): Promise<number> {
  let removed = 0;
  for (const entry of await files.list(folder)) {
    if (entry.kind !== "file" || !tempPattern.test(entry.name)) continue;
    const leftover = path.join(folder, entry.name);
    try {
      if (!isLeftover(entry.name, (await files.stat(leftover)).time, now)) continue;
      await files.unlink(leftover);
      removed += 1;
    } catch {
      // Gone meanwhile, or not ours to remove: either way it harms nobody.
    }
  }
  return removed;
}

/** Whether a file is what a killed writer has left: by its name (see `tempName`) and its age, both times in ms since the epoch. */
export function isLeftover(name: string, time: number, now: number): boolean {
  return tempPattern.test(name) && now - time >= leftoverAge;
}
