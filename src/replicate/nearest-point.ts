import type { CatalogPoint } from "../repository/points/catalog.ts";

/** Of others of the same source the one nearest in time, which has most in common with the point. */
export function nearestPoint(point: CatalogPoint, others: readonly CatalogPoint[]): CatalogPoint | undefined {
  let nearest: CatalogPoint | undefined;
  let distance = Number.POSITIVE_INFINITY;
  for (const other of others) {
    if (other.manifest.source !== point.manifest.source || Math.abs(other.time - point.time) >= distance) continue;
    nearest = other;
    distance = Math.abs(other.time - point.time);
  }
  return nearest;
}
