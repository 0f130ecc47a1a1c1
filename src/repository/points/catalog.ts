/** The recovery points of a repository, with what was said of them since: tags, holds, proofs. */
import { StillpointError, toError } from "../../errors.ts";
import { throwIfCancelled } from "../../host/cancel.ts";
import type { CallOptions, ObjectInfo, Storage } from "../../storage/storage.ts";
import { longestSmallObject, requireLength } from "../format.ts";
import { openManifest, parsePointName, type RecoveryPoint, sealManifest, type Manifest } from "./manifest.ts";
import { exists, type Repository } from "../repository.ts";
import { isRead, readUntil } from "./readers.ts";
import { type Damage, PassingOver } from "./unreadable.ts";
import { getSmallObject, type Hold, type Proof, putSmallObject, type SmallObject } from "./small-objects.ts";

export interface CatalogPoint extends RecoveryPoint {
  /** In force now. */
  readonly tags: readonly string[];
  readonly hold: Hold | undefined;
  /** Until when it is being read, or was, in ms since the epoch by the store's clock; 0 when nobody has read it for long. */
  readonly readUntil: number;
  /** The newest proof, passed or failed. */
  readonly proof: Proof | undefined;
  /** When the store says that the manifest was written, by its own clock, in ms since the epoch: see `asFirstReceived`, too. */
  readonly received: number;
}

export interface Catalog {
  /** Oldest first; of the same instant, by id. */
  readonly points: readonly CatalogPoint[];
  readonly damaged: readonly Damage[];
  /** As `vanishedPoints`; empty where nothing is remembered. */
  readonly vanished: readonly RecoveryPoint[];
}

/** Reads at once, so that a distant storage's answers overlap. */
const readsAtOnce = 16;

/**
 * Lists all points. What the repository's memory holds isn't read again, since it never changes. An object that
 * can't be read is reported, not thrown; a failing storage is thrown.
 */
export async function loadCatalog(repository: Repository, options: CallOptions = {}): Promise<Catalog> {
  return await readCatalog(repository, await listPoints(repository.storage, options), options);
}

/** The manifests as the storage lists them. */
export async function listPoints(storage: Storage, options: CallOptions = {}): Promise<readonly ObjectInfo[]> {
  const listed: ObjectInfo[] = [];
  for await (const object of storage.list("points/", options)) {
    if (parsePointName(object.name) !== undefined) listed.push(object);
  }
  return listed;
}

/** The catalog of those points, as `loadCatalog`. What is said of them is looked for now: a hold is stored before the point that it holds. */
export async function readCatalog(
  repository: Repository,
  listed: readonly ObjectInfo[],
  options: CallOptions = {},
): Promise<Catalog> {
  const { memory } = repository;
  await memory?.load();
  const damaged: Damage[] = [];
  const reads = new PassingOver((damage) => damaged.push(damage));
  const [tags, holds, proofs, readers] = await Promise.all([
    newestPerPoint(repository, "tags", reads, options),
    newestPerPoint(repository, "holds", reads, options),
    newestPerPoint(repository, "proofs", reads, options),
    readUntil(repository.storage, options),
  ]);
  const points: CatalogPoint[] = [];
  await forEachAtOnce(listed, readsAtOnce, async (object) => {
    throwIfCancelled(options.signal);
    const { name, time } = object;
    const point = memory?.point(name) ?? (await readNew(repository, object, reads, options));
    if (point === undefined) return;
    points.push({
      id: point.id,
      digest: point.digest,
      name,
      time: point.time,
      manifest: point.manifest,
      tags: tags.newest.get(point.id)?.tags ?? point.manifest.tags,
      hold: holds.newest.get(point.id),
      readUntil: readers.get(point.id) ?? 0,
      proof: proofs.newest.get(point.id),
      received: time,
    });
  });
  const stored = new Set(listed.map(({ name }) => name));
  const vanished = await vanishedPoints(repository, stored, options);
  const gone = new Set(vanished.map(({ name }) => name));
  await memory?.save(new Set([...stored, ...tags.names, ...proofs.names]), gone, repository.clock.now());
  return { points: points.toSorted((a, b) => a.time - b.time || (a.id < b.id ? -1 : 1)), damaged, vanished };
}

/**
 * Points that this host remembers, that aren't among the names `stored`, and that no record says were forgotten. Where it has not looked
 * for so long that there may have been such records, only those that had vanished before.
 */
export async function vanishedPoints(
  repository: Repository,
  stored: ReadonlySet<string>,
  options?: CallOptions,
): Promise<RecoveryPoint[]> {
  const { memory, storage, clock } = repository;
  if (memory === undefined) return [];
  await memory.load();
  const wouldBeKnown = clock.now() < memory.seen + recordLasts - clocksDiffer;
  const absent = [...memory.points].filter(
    ({ name }) => !stored.has(name) && (wouldBeKnown || memory.hadVanished(name)),
  );
  const vanished = new Set<RecoveryPoint>();
  await forEachAtOnce(absent, readsAtOnce, async (point) => {
    // It may be newer than the listing; and one that is forgotten just now has its record before it is gone.
    if (await exists(storage, point.name, options)) return;
    if (!(await exists(storage, `forgotten/${point.id}`, options))) vanished.add(point);
  });
  return absent.filter((point) => vanished.has(point));
}

async function readNew(
  repository: Repository,
  object: ObjectInfo,
  reads: PassingOver,
  options: CallOptions,
): Promise<RecoveryPoint | undefined> {
  const { name } = object;
  const point = await reads.readIfThere(name, async () => {
    requireLength(object, longestSmallObject);
    return await readPoint(repository, name, options);
  });
  if (point !== undefined) repository.memory?.addPoint(point);
  return point;
}

/** The point's newest proof that isn't damaged; `unread` when the storage failed to read one that is as new. Throws a storage error. */
export async function newestProof(
  repository: Repository,
  point: string,
  options: CallOptions = {},
): Promise<Proof | "unread" | undefined> {
  let unread = false;
  const reads = new PassingOver(({ error }) => void (unread ||= error.code === "storage_failed"));
  const { newest } = await newestPerPoint(repository, "proofs", reads, { ...options, point });
  return unread ? "unread" : newest.get(point);
}

/** A verified point, by object name. Throws `damaged`, `object_missing` or a storage error. */
export async function readPoint(repository: Repository, name: string, options?: CallOptions): Promise<RecoveryPoint> {
  return openManifest(repository.keys, name, await repository.storage.get(name, undefined, options));
}

/** Commits a recovery point: from when this resolves, it exists. */
export async function commitPoint(
  repository: Repository,
  manifest: Manifest,
  options?: CallOptions,
): Promise<RecoveryPoint> {
  const { point, data } = sealManifest(repository.keys, manifest);
  await repository.storage.put(point.name, [data], options);
  return point;
}

/** The one point whose id begins with `prefix` (at least 4 digits). Throws `not_found` or `usage`. */
export function findPoint<T extends { readonly id: string }>(points: readonly T[], prefix: string): T {
  if (!/^[0-9a-f]{4,32}$/.test(prefix)) {
    throw new StillpointError("usage", {
      what: `"${prefix}" isn't the id of a recovery point: it takes 4 to 32 hexadecimal digits`,
      next: "`stillpoint list` shows them.",
    });
  }
  const matches = points.filter((point) => point.id.startsWith(prefix));
  if (matches.length === 1) return matches[0] as T;
  throw new StillpointError(matches.length === 0 ? "not_found" : "usage", {
    what:
      matches.length === 0
        ? `No recovery point has the id ${prefix}`
        : `${String(matches.length)} recovery points begin with ${prefix}`,
    next: matches.length === 0 ? "`stillpoint list` shows them." : "Give more digits.",
  });
}

/** For so long, in ms, the record that a point was forgotten stays, whether anything asks for it or not. */
export const recordLasts = 96 * 3_600_000;
/** In ms: that of whoever forgets a point, and this one's. */
const clocksDiffer = 3_600_000;

/** Why a point isn't forgotten. */
export type Keeper = "hold" | "reader";

/** As `forgetUnlessKept`; throws `usage` when the point is kept. */
export async function forgetPoint(
  repository: Repository,
  point: CatalogPoint,
  reason: string,
  options?: CallOptions,
): Promise<void> {
  const keeper = await forgetUnlessKept(repository, point, reason, options);
  if (keeper === "hold") {
    const why = point.hold === undefined ? "" : ` ("${point.hold.reason}")`;
    throw new StillpointError("usage", {
      what: `Cannot forget ${point.id}: it is held${why}`,
      safe: "Nothing was deleted.",
      next: `Release it first: \`stillpoint release ${point.id}\`.`,
    });
  }
  if (keeper === "reader") {
    throw new StillpointError("usage", {
      what: `Cannot forget ${point.id}: it is being read, by a booted machine or \`stillpoint serve\``,
      safe: "Nothing was deleted.",
      next: "End that first; when its process was killed, wait three days.",
    });
  }
}

/**
 * Deletes a point: first the record that it was meant, then the manifest. Returns why not, when it is held: when the catalog says
 * so, and when there is a hold now, be it newer than the catalog or so damaged that the catalog lacks it; and when it is being read.
 * Throws a storage error.
 */
export async function forgetUnlessKept(
  repository: Repository,
  point: CatalogPoint,
  reason: string,
  options: CallOptions = {},
): Promise<Keeper | undefined> {
  if (point.hold !== undefined || (await exists(repository.storage, `holds/${point.id}`, options))) return "hold";
  if (await isRead(repository, point.id, options)) return "reader";
  await putSmallObject(
    repository,
    "forgotten",
    {
      version: 1,
      point: point.id,
      time: new Date(repository.clock.now()).toISOString(),
      source: point.manifest.source,
      digest: point.digest,
      point_time: point.manifest.time,
      reason,
    },
    options,
  );
  await repository.storage.delete(point.name, options);
  return undefined;
}

/**
 * The newest object of each point's (or of one `point`) that can be read, from `folder`, by point id; and the names of those read. Names begin
 * with the time, so the greatest is the newest.
 */
async function newestPerPoint<F extends "tags" | "holds" | "proofs">(
  repository: Repository,
  folder: F,
  reads: PassingOver,
  options: CallOptions & { readonly point?: string },
): Promise<{ readonly newest: ReadonlyMap<string, SmallObject<F>>; readonly names: Iterable<string> }> {
  const stored = new Map<string, ObjectInfo[]>();
  const prefix = options.point === undefined ? `${folder}/` : `${folder}/${options.point}/`;
  for await (const object of repository.storage.list(prefix, options)) {
    const point = object.name.split("/")[1] ?? "";
    const objects = stored.get(point);
    if (objects === undefined) stored.set(point, [object]);
    else objects.push(object);
  }
  // A hold that was released and set again has the same name with another content.
  const memory = folder === "holds" ? undefined : repository.memory;
  const open = async (object: ObjectInfo): Promise<SmallObject<F> | undefined> => {
    const { name } = object;
    const remembered = memory?.object(name) as SmallObject<F> | undefined;
    if (remembered !== undefined) return remembered;
    const content = await reads.readIfThere(name, async () => {
      requireLength(object, longestSmallObject);
      return await getSmallObject(repository, folder, name, options);
    });
    if (content !== undefined) memory?.addObject(name, content);
    return content;
  };
  const newest = new Map<string, SmallObject<F>>();
  const names: string[] = [];
  await forEachAtOnce(stored, readsAtOnce, async ([point, objects]) => {
    for (const object of objects.toSorted((a, b) => (a.name < b.name ? 1 : -1))) {
      const content = await open(object);
      if (content === undefined) continue;
      newest.set(point, content);
      names.push(object.name);
      return;
    }
  });
  return { newest, names };
}

/**
 * Calls `work` for each item, at most `width` at once. After the first error no further call begins; it is thrown when those
 * under way are over.
 */
export async function forEachAtOnce<T>(
  items: Iterable<T>,
  width: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const iterator = items[Symbol.iterator]();
  const failures: Error[] = [];
  const lane = async (): Promise<void> => {
    try {
      while (failures.length === 0) {
        const next = iterator.next();
        if (next.done === true) return;
        await work(next.value);
      }
    } catch (error) {
      failures.push(toError(error));
    }
  };
  await Promise.all(Array.from({ length: width }, lane));
  const [first] = failures;
  if (first !== undefined) throw first;
}
