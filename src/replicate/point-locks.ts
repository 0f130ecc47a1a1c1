/**
 * Keeps locked what the rules of a replica keep: at any moment for the length that the policy says, at least (docs/format.md section 12,
 * docs/decisions/0036-object-lock.md).
 *
 * Locks end at whole quarters of that length, so that what many points share is extended once in a quarter, and not with each of them.
 */
import { isStillpointError, StillpointError } from "../errors.ts";
import type { BlobStore } from "../repository/blobs/blob-store.ts";
import { packName } from "../repository/blobs/pack.ts";
import { lockingPuts } from "../repository/locks/locking-puts.ts";
import { sealLockRecords } from "../repository/locks/lock-record.ts";
import { type Pins, readPins } from "../repository/locks/pins.ts";
import { versionsByName } from "../repository/locks/versions.ts";
import { type CatalogPoint, forEachAtOnce } from "../repository/points/catalog.ts";
import { isDamage } from "../repository/mark/mark.ts";
import type { Repository } from "../repository/repository.ts";
import type { ObjectLocks } from "../storage/object-locks.ts";
import type { CallOptions } from "../storage/storage.ts";
import { nearestPoint } from "./nearest-point.ts";
import { reachedPacks } from "./reached-packs.ts";
import type { LockedThere } from "./sweep-notices.ts";

const callsAtOnce = 16;

/**
 * The records that this host has put itself: the only ones by which replication leaves out what they say is locked. Who has the
 * repository's key could put others, and nothing of what they name would be renewed.
 */
export interface OwnRecords {
  /** Their names; without some of them, what these name is locked once more. */
  read(): Promise<ReadonlySet<string>>;
  /** Throws `storage_denied` or `storage_failed`. */
  note(names: readonly string[]): Promise<void>;
}

export interface LockRules {
  /** In ms. */
  readonly length: number;
  /** Ids of those points of the replica that its rules keep: their locks are renewed. */
  readonly keeps: (points: readonly CatalogPoint[]) => ReadonlySet<string>;
  readonly own: OwnRecords;
}

/** What locking some points needs besides. */
export interface LockWork extends CallOptions {
  readonly primary: BlobStore;
  /** The replica's index, as it is once the points are there. */
  readonly replica: () => Promise<BlobStore>;
}

/** When locks set at `now` end, so that they last for `length`, a quarter more at most. In ms. */
export function lockEnd(now: number, length: number): number {
  const quarter = Math.ceil(length / 4000) * 1000;
  return (Math.floor(now / quarter) + 5) * quarter;
}

export class PointLocks implements LockedThere {
  /** The replica; what is put there is locked from its first moment. */
  readonly replica: Repository;
  readonly #locks: ObjectLocks;
  readonly #own: OwnRecords;
  /** By the store's clock, as `#until`. In ms since the epoch. */
  readonly #now: number;
  /** When the locks end that this run sets. */
  readonly #until: number;
  /** Ids of the points of which everything is locked until then, at least, as this host's records say. */
  readonly #points: Set<string>;
  /** Names of the objects that are. */
  readonly #objects: Set<string>;
  /** Versions put by this run, and so locked until then, that no record names yet, by name. */
  readonly #put = new Map<string, string>();
  /** Ids of all points that were to be locked until then; undefined before the first were. */
  #due: ReadonlySet<string> | undefined;
  /** Those of `#points` that were asked for: what others share with them needn't be looked at. */
  readonly #bases: CatalogPoint[] = [];
  /** What is locked at all, by the records of earlier quarters, too: read when it is first needed. */
  #pins: Promise<Pins> | undefined;

  private constructor(replica: Repository, locks: ObjectLocks, own: OwnRecords, until: number, known: Pins) {
    this.#locks = locks;
    this.#own = own;
    this.#now = known.now;
    this.#until = until;
    this.#points = new Set(known.points.keys());
    this.#objects = new Set(known.objects.keys());
    const onPut = (name: string, version: string): unknown => this.#put.set(name, version);
    this.replica = { ...replica, storage: lockingPuts({ storage: replica.storage, locks, until, onPut }) };
  }

  /** Throws `storage_denied` when the replica doesn't lock, or a storage error. */
  static async begin(replica: Repository, { length, own }: LockRules, options: CallOptions): Promise<PointLocks> {
    const { locks, location } = replica.storage;
    if (locks === undefined) throw new Error(`${location} was opened without locks`);
    const until = lockEnd(await locks.require(options), length);
    const known = await readPins(replica, locks, { ...options, from: until, among: await own.read() });
    return new PointLocks(replica, locks, own, until, known);
  }

  /** How many points were to be locked, and aren't, or for a shorter time; undefined when it isn't known yet which were to be. */
  get unlocked(): number | undefined {
    return this.#due && [...this.#due].filter((id) => !this.#points.has(id)).length;
  }

  doesWithout(point: string, packs: ReadonlySet<string>): boolean {
    return this.#points.has(point) && [...packs].every((id) => !this.#objects.has(packName(id)));
  }

  /**
   * Locks all that the points need, and records it. Returns what could not be locked, which is tried again by the next run. Throws
   * storage errors.
   */
  async lock(points: readonly CatalogPoint[], work: LockWork): Promise<StillpointError[]> {
    this.#due = new Set([...(this.#due ?? []), ...points.map(({ id }) => id)]);
    const due = points.filter(({ id }) => !this.#points.has(id));
    this.#bases.push(...points.filter(({ id }) => this.#points.has(id)));
    if (due.length === 0) return [];
    const failures: StillpointError[] = [];
    const store = await work.replica();
    const packs = new Set<string>();
    const locked: CatalogPoint[] = [];
    for (const point of due) {
      try {
        const { manifest } = point;
        const base = nearestPoint(point, [...this.#bases, ...locked])?.manifest;
        const reached = await reachedPacks({ ...work, replica: store, manifest, base });
        for (const id of reached) packs.add(packName(id));
        locked.push(point);
      } catch (error) {
        if (!isDamage(error)) throw error;
        failures.push(this.#cannotLock(`all of the recovery point ${point.id}: ${error.parts.what}`));
      }
    }
    const names = [
      ...(await this.#always(work)),
      ...store.indexes.map(({ name }) => name),
      ...packs,
      ...locked.map(({ name }) => name),
    ];
    const { versions, lost } = await this.#extend(new Set([...names, ...this.#put.keys()]), work);
    for (const name of lost) failures.push(this.#cannotLock(`${name}: it isn't there any more`));
    failures.push(...(await this.#record(lost.length === 0 ? locked : [], versions, work)));
    return failures;
  }

  /** What every point needs. */
  async #always(options: CallOptions): Promise<string[]> {
    const names = ["format"];
    for (const folder of ["keys/", "config/"])
      for await (const { name } of this.replica.storage.list(folder, options)) names.push(name);
    return names;
  }

  /** Locks those objects that aren't locked for long enough. Returns the versions locked, by name; and those that aren't there. */
  async #extend(
    names: ReadonlySet<string>,
    { signal }: CallOptions,
  ): Promise<{ readonly versions: ReadonlyMap<string, string>; readonly lost: readonly string[] }> {
    const versions = new Map<string, string>();
    const lost: string[] = [];
    const due = [...names].filter((name) => !this.#objects.has(name));
    const unknown = due.filter((name) => !this.#put.has(name));
    const known = unknown.length === 0 ? new Map<string, string>() : await this.#versionsOf(unknown, { signal });
    await forEachAtOnce(due, callsAtOnce, async (name) => {
      const put = this.#put.get(name);
      const version = put ?? known.get(name);
      const there =
        version !== undefined && (put !== undefined || (await this.#lockVersion(name, version, { signal })));
      if (there) versions.set(name, version);
      else lost.push(name);
    });
    return { versions, lost };
  }

  /** Returns whether the version is there. */
  async #lockVersion(name: string, version: string, options: CallOptions): Promise<boolean> {
    try {
      await this.#locks.extend(name, version, this.#until, options);
      return true;
    } catch (error) {
      if (isStillpointError(error, "object_missing")) return false;
      throw error;
    }
  }

  /** The versions that records name; of objects that none names, the first ones: who puts something over an object comes later. */
  async #versionsOf(names: readonly string[], { signal }: CallOptions): Promise<Map<string, string>> {
    this.#pins ??= readPins(this.replica, this.#locks, { signal });
    const { objects } = await this.#pins;
    const unpinned = names.filter((name) => !objects.has(name));
    const listed = unpinned.length === 0 ? undefined : await versionsByName(this.#locks, "", { signal });
    const versions = new Map<string, string>();
    for (const name of names) {
      const first = listed?.get(name)?.find(({ marker }) => !marker);
      const version = objects.get(name)?.version ?? first?.version;
      if (version !== undefined) versions.set(name, version);
    }
    return versions;
  }

  /** Returns why the records can't be remembered: then the next run locks the same once more. */
  async #record(
    points: readonly CatalogPoint[],
    versions: ReadonlyMap<string, string>,
    { signal }: CallOptions,
  ): Promise<StillpointError[]> {
    if (points.length === 0 && versions.size === 0) return [];
    const until = this.#until;
    const content = { time: this.#now, until, points: points.map(({ id }) => id), objects: versions };
    const records: string[] = [];
    for (const { name, data } of sealLockRecords(this.replica.keys, content)) {
      await this.#locks.put(name, [data], until, { signal });
      records.push(name);
    }
    for (const name of versions.keys()) {
      this.#objects.add(name);
      this.#put.delete(name);
    }
    for (const { id } of points) this.#points.add(id);
    this.#bases.push(...points);
    try {
      await this.#own.note(records);
      return [];
    } catch (error) {
      if (!isStillpointError(error)) throw error;
      return [error];
    }
  }

  #cannotLock(what: string): StillpointError {
    const { location } = this.replica.storage;
    return new StillpointError("lock_incomplete", {
      what: `Cannot lock at ${location} ${what}`,
      safe: "What was locked stays locked.",
      next: `Run \`stillpoint check --location ${location}\`.`,
    });
  }
}
