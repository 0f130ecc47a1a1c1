/** Writing at a replica that has locked points, beside replication: what a sweep or a repair puts there. */
import { isStillpointError } from "../../errors.ts";
import type { ObjectLocks } from "../../storage/object-locks.ts";
import type { CallOptions, Storage } from "../../storage/storage.ts";
import type { Repository } from "../repository.ts";
import { sealLockRecords } from "./lock-record.ts";
import { lockingPuts } from "./locking-puts.ts";
import type { Pins } from "./pins.ts";

export interface WriteLockedOptions extends CallOptions {
  /** What is locked there; undefined where nothing can be. */
  readonly pins: Pins | undefined;
}

/**
 * Does work that writes: what it puts may be all that locked points are left with, so each object is locked from its first moment for
 * as long as any point there, and a record names it before anything is deleted, or condemned, that it replaces. Where no point
 * is locked, the repository is handed on as it is.
 *
 * Threads would open the storage by its address, and lock nothing: the repository that is handed on then has none.
 *
 * Throws what `work` throws, or a storage error.
 */
export async function writeLocked<T>(
  repository: Repository,
  { pins, signal }: WriteLockedOptions,
  work: (repository: Repository) => Promise<T>,
): Promise<T> {
  const { keys, storage } = repository;
  const { locks } = storage;
  if (locks === undefined || pins === undefined) return await work(repository);
  const until = await longestLock(locks, pins, { signal });
  if (until === undefined) return await work(repository);
  const put = new Map<string, string>();
  let recording = Promise.resolve();
  const record = async (): Promise<void> => {
    recording = recording.then(async () => {
      if (put.size === 0) return;
      const objects = new Map(put);
      for (const { name, data } of sealLockRecords(keys, { time: pins.now, until, points: [], objects }))
        await locks.put(name, [data], until, { signal });
      for (const name of objects.keys()) put.delete(name);
    });
    await recording;
  };
  const locking = lockingPuts({ storage, locks, until, onPut: (name, version) => put.set(name, version) });
  const recordingFirst: Storage = {
    ...locking,
    async put(name, data, call) {
      if (name.startsWith("sweeps/")) await record();
      await locking.put(name, data, call);
    },
    async delete(name, call) {
      await record();
      await locking.delete(name, call);
    },
  };
  const result = await work({ ...repository, storage: recordingFirst, address: undefined });
  await record();
  return result;
}

/**
 * Until when the point is locked that is locked longest, in ms since the epoch; undefined when none is. By the store's own word
 * as well as by the records': these could be forged, and lock for a hundred years what was put by whoever believed them.
 */
async function longestLock(locks: ObjectLocks, { objects }: Pins, options: CallOptions): Promise<number | undefined> {
  const manifests = [...objects].filter(([name]) => name.startsWith("points/"));
  let longest: number | undefined;
  for (const [name, { version, until }] of manifests.toSorted(([, a], [, b]) => b.until - a.until)) {
    if (longest !== undefined && until <= longest) break;
    const held = Math.min(until, (await lockOf(locks, name, version, options)) ?? 0);
    if (held > (longest ?? 0)) longest = held;
  }
  return longest;
}

/** Undefined for a version that isn't locked, or isn't there. */
async function lockOf(
  locks: ObjectLocks,
  name: string,
  version: string,
  options: CallOptions,
): Promise<number | undefined> {
  try {
    return await locks.lockedUntil(name, version, options);
  } catch (error) {
    if (isStillpointError(error, "object_missing")) return undefined;
    throw error;
  }
}
