/** Which versions are locked, as the records say that are found among the store's versions (docs/format.md section 12). */
import { isStillpointError } from "../../errors.ts";
import type { ObjectLocks, ObjectVersion } from "../../storage/object-locks.ts";
import type { CallOptions } from "../../storage/storage.ts";
import { longestSmallObject, requireLength } from "../format.ts";
import { forEachAtOnce } from "../points/catalog.ts";
import type { Damage } from "../points/unreadable.ts";
import type { Repository } from "../repository.ts";
import { type LockRecord, openLockRecord, untilOf } from "./lock-record.ts";
import { sameContent, versionsByName } from "./versions.ts";

const readsAtOnce = 16;

/** A version that is locked, and until when, in ms since the epoch by the store's clock. */
export interface Pin {
  readonly version: string;
  readonly until: number;
}

/** A record that names a version of an object, with other content, that came after one which another record names. */
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
}

export interface ReadPinsOptions extends CallOptions {
  /** Leaves out records of locks that end before this, in ms since the epoch. By default, of those that have ended. */
  readonly from?: number | undefined;
  /** Leaves out records with other names. */
  readonly among?: ReadonlySet<string> | undefined;
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
    if (options.among?.has(name) === false) return;
    const record = await firstThatOpens(repository, locks, versions, damaged, { signal });
    if (record !== undefined) found.push(record);
  });
  return { ...(await joinRecords(locks, found, { signal })), damaged, now };
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
  for (const { name, version, size, marker } of versions) {
    if (marker) continue;
    try {
      requireLength({ name, size }, longestSmallObject);
      const record = openLockRecord(keys, name, await locks.get(name, version, options));
      return { record, version };
    } catch (error) {
      if (isStillpointError(error, "object_missing")) continue;
      if (!isStillpointError(error, "damaged")) throw error;
      damage ??= { name, error };
    }
  }
  if (damage !== undefined) damaged.push(damage);
  return undefined;
}

/** What one record says of one object. */
interface Claim extends Pin {
  readonly record: string;
}

/** What the records say together: where they name different versions of an object, the oldest counts. */
async function joinRecords(
  locks: ObjectLocks,
  found: readonly FoundRecord[],
  options: CallOptions,
): Promise<Pick<Pins, "objects" | "points" | "contradictions">> {
  const claims = new Map<string, Claim[]>();
  const points = new Map<string, number>();
  for (const { record, version: own } of found) {
    const { name, until } = record;
    for (const id of record.points) points.set(id, Math.max(until, points.get(id) ?? 0));
    for (const [object, version] of [[name, own] as const, ...record.objects]) {
      const known = claims.get(object);
      const claim = { version, until, record: name };
      if (known === undefined) claims.set(object, [claim]);
      else known.push(claim);
    }
  }
  const objects = new Map<string, Pin>();
  const contradictions: Contradiction[] = [];
  await forEachAtOnce(claims, readsAtOnce, async ([object, all]) => {
    const first = all[0]?.version ?? "";
    const version = all.every((claim) => claim.version === first) ? first : await oldestOf(locks, object, all, options);
    const agreeing = all.filter((claim) => claim.version === version);
    objects.set(object, { version, until: Math.max(...agreeing.map(({ until }) => until)) });
    for (const claim of all) {
      if (await differs(locks, object, version, claim, options)) contradictions.push({ record: claim.record, object });
    }
  });
  return { objects, points, contradictions };
}

/** The one of the versions named that the store received first: objects never change, so what came later isn't genuine. */
async function oldestOf(
  locks: ObjectLocks,
  object: string,
  claims: readonly Claim[],
  options: CallOptions,
): Promise<string> {
  const named = new Set(claims.map(({ version }) => version));
  const versions = (await versionsByName(locks, object, options)).get(object) ?? [];
  return versions.find(({ version }) => named.has(version))?.version ?? claims[0]?.version ?? "";
}

/** Whether a claim is of another content than the version that counts. */
async function differs(
  locks: ObjectLocks,
  object: string,
  version: string,
  claim: Claim,
  options: CallOptions,
): Promise<boolean> {
  if (claim.version === version) return false;
  const versions = (await versionsByName(locks, object, options)).get(object) ?? [];
  const [a, b] = [version, claim.version].map((wanted) => versions.find((one) => one.version === wanted));
  return a === undefined || b === undefined || !(await sameContent(locks, a, b, options));
}
