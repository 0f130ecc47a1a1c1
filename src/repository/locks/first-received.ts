import type { ObjectVersion } from "../../storage/object-locks.ts";
import type { CallOptions, Storage } from "../../storage/storage.ts";
import type { CatalogPoint } from "../points/catalog.ts";
import { versionsByName } from "./versions.ts";

/**
 * The points with the times at which the store received them first, where it keeps versions. Whoever puts a manifest there again, as it
 * was, makes it no younger: else he could move every point to his own time, and put points that he has forged in their places.
 *
 * Throws a storage error.
 */
export async function asFirstReceived(
  points: readonly CatalogPoint[],
  { locks }: Storage,
  options: CallOptions,
): Promise<readonly CatalogPoint[]> {
  if (locks === undefined) return points;
  const versions = await versionsByName(locks, "points/", options);
  return points.map((point) => ({ ...point, received: firstReceipt(point, versions.get(point.name)) }));
}

/** When a point was first received, in ms since the epoch, by the versions of its manifest, oldest first. */
export function firstReceipt({ received }: CatalogPoint, versions: readonly ObjectVersion[] = []): number {
  return versions.find(({ marker }) => !marker)?.time ?? received;
}
