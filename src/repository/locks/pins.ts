/** Which versions are locked, as the records say that are found among the store's versions (docs/format.md section 12). */
import { isStillpointError } from "../../errors.ts";
import type { ObjectLocks, ObjectVersion } from "../../storage/object-locks.ts";
import type { CallOptions } from "../../storage/storage.ts";
import { longestSmallObject, requireLength } from "../format.ts";
import { type Damage, forEachAtOnce } from "../points/catalog.ts";
import type { Repository } from "../repository.ts";
import { type LockRecord, openLockRecord, untilOf } from "./lock-record.ts";
import { versionsByName } from "./versions.ts";

const readsAtOnce = 16;

/** A version that is locked, and until when, in ms since the epoch by the store's clock. */
export interface Pin {
  readonly version: string;
  readonly until: number;
}

/** A record that names another version of an object than one that the store received before. */
export interface Contradiction {
  readonly record: string;
  readonly object: string;
}

export interface Pins {
  /** By the objects' names; the records themselves are among them. */
  readonly objects: ReadonlyMap<string, Pin>;
  /** Until when all of a point is locked, by its id. */
  readonly points: ReadonlyMap<string, number>;
  readonly contradictions: readonly Contradiction[];
  /** Records of which no version opens. */
  readonly damaged: readonly Damage[];
  /** The store's own time when the records were looked for, in ms since the epoch. */
  readonly now: number;
}

interface FoundRecord {
  readonly record: LockRecord;
  readonly version: string;
  /** When the store received it. */
  readonly received: number;
}

export interface ReadPinsOptions extends CallOptions {
  /** Leaves out records of locks that end before this, in ms since the epoch. By default, of those that have ended. */
  readonly from?: number | undefined;
}

/** Throws `storage_denied` when the storage doesn't lock, or a storage error. */
export async function readPins(repository: Repository, locks: ObjectLocks, options: ReadPinsOptions): Promise<Pins> {
  const { signal } = options;
  const now = await locks.require({ signal });
  const named = await versionsByName(locks, "locks/", { signal });
  const damaged: Damage[] = [];
  const found: FoundRecord[] = [];
  await forEachAtOnce(named, readsAtOnce, async ([name, versions]) => {
    const until = untilOf(name);
    if (until === undefined || until < (options.from ?? now)) return;
    const record = await firstThatOpens(repository, locks, versions, damaged, { signal });
    if (record !== undefined) found.push(record);
  });
  found.sort((a, b) => a.received - b.received || (a.record.name < b.record.name ? -1 : 1));
  return { ...joined(found), damaged, now };
}

/** Until when points are locked, in ms since the epoch, by their ids. Throws as `readPins` does. */
export async function lockedPoints(repository: Repository, options: CallOptions): Promise<ReadonlyMap<string, number>> {
  const { locks } = repository.storage;
  return locks === undefined ? new Map() : (await readPins(repository, locks, options)).points;
}

async function firstThatOpens(
  { keys }: Repository,
  locks: ObjectLocks,
  versions: readonly ObjectVersion[],
  damaged: Damage[],
  options: CallOptions,
): Promise<FoundRecord | undefined> {
  let damage: Damage | undefined;
  for (const { name, version, size, time, marker } of versions) {
    if (marker) continue;
    try {
      requireLength({ name, size }, longestSmallObject);
      const record = openLockRecord(keys, name, await locks.get(name, version, options));
      return { record, version, received: time };
    } catch (error) {
      if (isStillpointError(error, "object_missing")) continue;
      if (!isStillpointError(error, "damaged")) throw error;
      damage ??= { name, error };
    }
  }
  if (damage !== undefined) damaged.push(damage);
  return undefined;
}

/** Of the records, the ones received first decide which version counts, all of them until when. */
function joined(found: readonly FoundRecord[]): Pick<Pins, "objects" | "points" | "contradictions"> {
  const objects = new Map<string, Pin>();
  const points = new Map<string, number>();
  const contradictions: Contradiction[] = [];
  for (const { record, version: own } of found) {
    const { name, until } = record;
    objects.set(name, { version: own, until });
    for (const id of record.points) points.set(id, Math.max(until, points.get(id) ?? 0));
    for (const [object, version] of record.objects) {
      const known = objects.get(object);
      if (known !== undefined && known.version !== version) contradictions.push({ record: name, object });
      else objects.set(object, { version, until: Math.max(until, known?.until ?? 0) });
    }
  }
  return { objects, points, contradictions };
}
