/** What a location holds of a primary's points, and of the notes on them. */
import { isStillpointError } from "../errors.ts";
import { type CatalogPoint, forEachAtOnce, listPoints, readCatalog } from "../repository/points/catalog.ts";
import type { RecoveryPoint } from "../repository/points/manifest.ts";
import { type Damage, requireRead } from "../repository/points/unreadable.ts";
import type { Repository } from "../repository/repository.ts";
import { getSmallObject } from "../repository/points/small-objects.ts";
import type { CallOptions, Storage } from "../storage/storage.ts";

const readsAtOnce = 16;

/** Ids of points: those that are there, and those that were deleted there on purpose. */
export interface PointSurvey {
  readonly points: ReadonlySet<string>;
  readonly forgotten: ReadonlySet<string>;
}

export interface LocationSurvey extends PointSurvey {
  /** The points themselves, oldest first. */
  readonly there: readonly CatalogPoint[];
  /** As the catalog's. */
  readonly vanished: readonly RecoveryPoint[];
}

/** Names of the objects in force, by the point's id. */
export interface NoteSurvey {
  readonly holds: ReadonlyMap<string, string>;
  readonly tags: ReadonlyMap<string, string>;
}

/**
 * Believes no name: a point is there if its manifest opens, and was forgotten if the record of it opens. Else anyone who can
 * write there, without a key, could keep a point from ever being sent, and from being kept at the primary until it is. Records are
 * read for `wanted` alone: ids of points of the primary. Throws storage errors.
 */
export async function surveyPoints(
  repository: Repository,
  wanted: Iterable<string>,
  options: CallOptions = {},
): Promise<LocationSurvey> {
  const listed = await listPoints(repository.storage, options);
  // After the points: the record that one was forgotten is there before the point is gone.
  const [{ points: there, damaged, vanished }, records] = await Promise.all([
    readCatalog(repository, listed, options),
    newestNames(repository.storage, "forgotten", options),
  ]);
  requireProofs(damaged);
  const points = new Set(there.map(({ id }) => id));
  const lacking = new Set(wanted).difference(points);
  const forgotten = new Set<string>();
  await forEachAtOnce(records, readsAtOnce, async ([id, name]) => {
    if (lacking.has(id) && (await opens(repository, name, options))) forgotten.add(id);
  });
  return { points, forgotten, there, vanished };
}

/** Only its proof may tell that a point has lost something: nothing relies on one whose proof the storage failed to read. */
export function requireProofs(damaged: readonly Damage[]): void {
  requireRead({ damaged: damaged.filter(({ name }) => name.startsWith("proofs/")) });
}

async function opens(repository: Repository, record: string, options: CallOptions): Promise<boolean> {
  try {
    await getSmallObject(repository, "forgotten", record, options);
    return true;
  } catch (error) {
    if (isStillpointError(error, "damaged") || isStillpointError(error, "object_missing")) return false;
    throw error;
  }
}

/** By names alone: nothing is read. Throws storage errors. */
export async function surveyNotes(storage: Storage, options: CallOptions = {}): Promise<NoteSurvey> {
  const [holds, tags] = await Promise.all([
    newestNames(storage, "holds", options),
    newestNames(storage, "tags", options),
  ]);
  return { holds, tags };
}

/** The greatest name of each point's in a folder. */
async function newestNames(storage: Storage, folder: string, options: CallOptions): Promise<Map<string, string>> {
  const newest = new Map<string, string>();
  for await (const { name } of storage.list(`${folder}/`, options)) {
    const id = name.split("/")[1];
    if (id !== undefined && name > (newest.get(id) ?? "")) newest.set(id, name);
  }
  return newest;
}
