/** Which recovery points a replica lacks. Pure. */
import type { CatalogPoint } from "../repository/points/catalog.ts";
import type { PointSurvey } from "./survey.ts";

export interface PlanInput {
  /** The primary's points, or those of some sources. */
  readonly points: readonly CatalogPoint[];
  readonly replica: PointSurvey;
  /** Whether a point is meant for this replica. */
  readonly wanted: (point: CatalogPoint) => boolean;
}

export interface ReplicationPlan {
  /** Oldest first. */
  readonly lacking: readonly CatalogPoint[];
  /**
   * About how many bytes they will take there: what each capture added to the primary. For a source that the replica
   * doesn't know and whose first points are gone, the whole size of the first one that is left.
   */
  readonly estimatedBytes: number;
}

/** A point forgotten at the replica isn't lacking there: its own retention, or a person, has decided so. */
export function planReplication({ points, replica, wanted }: PlanInput): ReplicationPlan {
  const lacking = points
    .filter(({ id }) => !replica.points.has(id) && !replica.forgotten.has(id))
    .filter((point) => wanted(point))
    .toSorted((a, b) => a.time - b.time || (a.id < b.id ? -1 : 1));
  return { lacking, estimatedBytes: estimate(points, lacking, replica) };
}

function estimate(points: readonly CatalogPoint[], lacking: readonly CatalogPoint[], replica: PointSurvey): number {
  const known = new Set(points.filter(({ id }) => replica.points.has(id)).map(({ manifest }) => manifest.source));
  let bytes = 0;
  for (const { manifest } of lacking) {
    const { size, stored } = manifest.statistics;
    bytes += manifest.previous === null || known.has(manifest.source) ? stored : Math.max(size, stored);
    known.add(manifest.source);
  }
  return bytes;
}
