/** What earlier sweeps of a replica decided, as far as it binds someone who adds to it (docs/format.md section 11). */
import type { BlobStore } from "../repository/blobs/blob-store.ts";

export interface SweepNotices {
  /** Ids of packs that a sweep may be about to delete. */
  readonly doomed: ReadonlySet<string>;
  /** Whether all blobs of a point at this replica are outside of doomed packs, so that a new point may share them. */
  vouchFor(point: string): boolean;
}

/** What is locked at the replica. */
export interface LockedThere {
  /** Whether all that the point needs is locked, and none of these packs is: the point needs none of them. */
  doesWithout(point: string, packs: ReadonlySet<string>): boolean;
}

export function sweepNotices({ sweeps, present, lost }: BlobStore, locked?: LockedThere): SweepNotices {
  const records = [...sweeps.values()];
  const doomed = new Set(records.flatMap(({ condemned, orphans }) => [...condemned, ...orphans]));
  // A sweep condemns only what none of the points that it saw needs. A point committed later may rest on what it condemned.
  const seen = records
    .filter(({ condemned }) => condemned.some((id) => present.has(id)))
    .map(({ points }) => new Set(points));
  // A locked index goes on naming packs that a sweep has deleted since.
  const isWhole = (point: string): boolean => lost.size === 0 || locked?.doesWithout(point, lost) === true;
  return { doomed, vouchFor: (point) => isWhole(point) && seen.every((points) => points.has(point)) };
}
