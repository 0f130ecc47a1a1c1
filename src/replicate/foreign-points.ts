/** Seeing that somebody else writes to a replica with this repository's keys: the host that this one has replaced, or a copy of it. */
import { type CatalogPoint, forEachAtOnce, recordLasts } from "../repository/points/catalog.ts";
import { exists, type Repository } from "../repository/repository.ts";
import type { CallOptions } from "../storage/storage.ts";

const questionsAtOnce = 16;

export interface ForeignPointsOptions extends CallOptions {
  readonly primary: Repository;
  /** All of the primary's points. */
  readonly points: readonly CatalogPoint[];
  /** Those of the replica, before anything is sent there. */
  readonly there: readonly CatalogPoint[];
}

/**
 * Points that have come to the replica since the last run, and that the primary neither has nor knows to be forgotten. Oldest first.
 *
 * The last run is when the primary was given the last but one of its points of the source: so all that a lost host had sent before its
 * primary was recovered is no stranger, although the replica from which that was done didn't have it. A point that was captured
 * long ago isn't either: somebody has filled the replica from another one. Throws storage errors of the primary.
 */
export async function foreignPoints(options: ForeignPointsOptions): Promise<readonly CatalogPoint[]> {
  const { primary, points, there, signal } = options;
  const since = lastRuns(points);
  const known = new Set(points.map(({ id }) => id));
  // A forgotten point is known for this long only.
  const oldest = primary.clock.now() - recordLasts;
  const doubtful = there.filter(
    ({ id, time, received, manifest }) =>
      !known.has(id) && time > oldest && received > (since.get(manifest.source) ?? Number.POSITIVE_INFINITY),
  );
  const own = new Set<string>();
  await forEachAtOnce(doubtful, questionsAtOnce, async ({ id, name }) => {
    // Captured since the points were listed; or forgotten, of which the record is there before the point is gone.
    for (const object of [name, `forgotten/${id}`]) {
      if (await exists(primary.storage, object, { signal })) own.add(id);
    }
  });
  return doubtful.filter(({ id }) => !own.has(id));
}

/** When the primary was given the last but one of each source's points. */
function lastRuns(points: readonly CatalogPoint[]): Map<string, number> {
  const received = Map.groupBy(points, ({ manifest }) => manifest.source);
  const last = new Map<string, number>();
  for (const [source, its] of received) {
    const moment = its
      .map((one) => one.received)
      .toSorted((a, b) => a - b)
      .at(-2);
    if (moment !== undefined) last.set(source, moment);
  }
  return last;
}
