/** Undoing what was done to locked objects: their locked versions are made the objects again. */
import { throwIfCancelled } from "../../host/cancel.ts";
import type { CallOptions } from "../../storage/storage.ts";
import type { LockedView } from "../check/locks.ts";
import { forEachAtOnce } from "../points/catalog.ts";
import type { Repository } from "../repository.ts";
import type { ObjectAction } from "./objects.ts";

const copiesAtOnce = 8;

/** What of this can be undone. */
export function planUncovering(locked: LockedView | undefined): ObjectAction[] {
  const covered = (locked?.tampering ?? []).filter(({ kind }) => kind !== "gone");
  return covered.map(({ info: { name } }) => ({ name, action: "uncover" }));
}

export interface UncoverOptions extends CallOptions {
  /** Called between steps, and awaited: renews the lease. */
  readonly onProgress: () => Promise<void>;
}

/** Returns what was brought back: nothing in a storage that doesn't lock. Throws a storage error. */
export async function uncoverLocked(
  { storage: { locks } }: Repository,
  locked: LockedView | undefined,
  options: UncoverOptions,
): Promise<ObjectAction[]> {
  const covered = (locked?.tampering ?? []).filter(({ kind }) => kind !== "gone");
  await forEachAtOnce(covered, copiesAtOnce, async ({ info: { name }, version, until }) => {
    throwIfCancelled(options.signal);
    await options.onProgress();
    await locks?.restore(name, version, until, options);
  });
  return planUncovering(locked);
}
