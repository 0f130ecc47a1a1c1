import { commitPoint } from "../../src/repository/points/catalog.ts";
import type { Manifest, RecoveryPoint } from "../../src/repository/points/manifest.ts";
import type { Repository } from "../../src/repository/repository.ts";

export interface EmptyPoint {
  /** In ms since the epoch. */
  readonly time: number;
  readonly policy?: string;
  readonly source?: string;
  /** The source's point before it. */
  readonly previous?: RecoveryPoint | undefined;
}

/** Commits a point whose content nobody looks at. */
export async function commitEmpty(repository: Repository, point: EmptyPoint): Promise<RecoveryPoint> {
  return await commitPoint(repository, emptyManifest(repository, point));
}

/** A manifest of nothing, which may be altered. */
export function emptyManifest(
  repository: Repository,
  { time: instant, policy = "often", source = "docs", previous }: EmptyPoint,
): Manifest {
  const time = new Date(instant).toISOString();
  return {
    version: 1,
    repository: repository.keys.repositoryId,
    source,
    policy,
    host: "test",
    kind: "command",
    time,
    started: time,
    finished: time,
    consistency: "application",
    parts: [{ name: "output", kind: "stream", size: 0, depth: 0, root: "0".repeat(64) }],
    previous: previous?.digest ?? null,
    tags: [],
    statistics: { size: 10, read: 10, new: 5, stored: 7 },
    left_out: [],
    left_out_count: 0,
    software: { stillpoint: "0", node: "0", kernel: "0" },
  };
}
