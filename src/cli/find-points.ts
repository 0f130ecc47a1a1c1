/** Naming recovery points as people do: by the beginning of the id, or `latest`. */
import { StillpointError } from "../errors.ts";
import { type CatalogPoint, findPoint, loadCatalog } from "../repository/points/catalog.ts";
import type { Repository } from "../repository/repository.ts";
import type { Cli } from "./cli.ts";
import { reportDamage } from "./report-damage.ts";

export interface PointFlags {
  readonly source?: string;
}

/** The point that is meant. `points` are sorted by time. Throws `not_found` or `usage`. */
export function choosePoint<T extends Pick<CatalogPoint, "id" | "manifest">>(
  points: readonly T[],
  text: string,
  { source }: PointFlags = {},
): T {
  const candidates = source === undefined ? points : points.filter(({ manifest }) => manifest.source === source);
  if (source !== undefined && candidates.length === 0) throw noneOf(points, source);
  if (text !== "latest") return findPoint(candidates, text.toLowerCase());
  const sources = sourcesOf(candidates);
  const newest = candidates.at(-1);
  if (newest !== undefined && sources.length === 1) return newest;
  throw new StillpointError(newest === undefined ? "not_found" : "usage", {
    what:
      newest === undefined
        ? "Cannot take the latest recovery point: there is none"
        : `Cannot take the latest recovery point: there are ${sources.length} sources`,
    next: newest === undefined ? "`stillpoint run` makes one." : `Add --source: ${sources.join(", ")}.`,
  });
}

/** The beginnings of `ids`, 8 digits or as many as it takes to tell them from each other, by id. */
export function shortIds(ids: readonly string[]): (id: string) => string {
  const distinct = [...new Set(ids)];
  let length = 8;
  while (length < 32 && new Set(distinct.map((id) => id.slice(0, length))).size < distinct.length) length += 1;
  return (id) => id.slice(0, length);
}

function sourcesOf(points: readonly Pick<CatalogPoint, "manifest">[]): string[] {
  return [...new Set(points.map(({ manifest }) => manifest.source))].toSorted();
}

function noneOf(points: readonly Pick<CatalogPoint, "manifest">[], source: string): StillpointError {
  const sources = sourcesOf(points);
  return new StillpointError("not_found", {
    what: `There is no recovery point of the source ${JSON.stringify(source)}`,
    next: sources.length === 0 ? "There is none at all." : `There are some of ${sources.join(", ")}.`,
  });
}

/** Loads the catalog and chooses a point from it. Throws `not_found`, `usage` or a storage error. */
export async function loadPoint(
  cli: Cli,
  repository: Repository,
  text: string,
  flags: PointFlags = {},
): Promise<CatalogPoint> {
  const catalog = await loadCatalog(repository, { signal: cli.signal });
  try {
    return choosePoint(catalog.points, text, flags);
  } catch (error) {
    reportDamage(cli, catalog);
    throw error;
  }
}
