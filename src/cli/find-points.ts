/** Naming recovery points as people do: by the beginning of the id, by the time, or as `latest`. */
import { StillpointError } from "../errors.ts";
import { type CatalogPoint, findPoint, loadCatalog } from "../repository/points/catalog.ts";
import type { Repository } from "../repository/repository.ts";
import type { Cli } from "./cli.ts";
import { formatTime } from "./format.ts";
import { endOfMoment } from "./parse-moment.ts";
import { reportDamage } from "./report-damage.ts";

export interface PointFlags {
  readonly source?: string;
}

/** What the verbs say of the argument that `choosePoint` takes. */
export const pointHelp =
  "the point's id or its beginning; `latest`; or a day (2026-11-17) or time (2026-11-17T14:00, in UTC): the newest until its end";

/** The point that is meant. `points` are sorted by time. Throws `not_found` or `usage`. */
export function choosePoint<T extends Pick<CatalogPoint, "id" | "time" | "manifest">>(
  points: readonly T[],
  text: string,
  { source }: PointFlags = {},
): T {
  const candidates = source === undefined ? points : points.filter(({ manifest }) => manifest.source === source);
  if (source !== undefined && candidates.length === 0) throw noneOf(points, source);
  const end = text === "latest" ? Number.POSITIVE_INFINITY : endOfMoment(text);
  if (end === undefined) return findPoint(candidates, text.toLowerCase());
  const sources = sourcesOf(candidates);
  if (sources.length > 1) {
    throw new StillpointError("usage", {
      what: `Cannot take the ${nameOf(text)}: there are ${sources.length} sources`,
      next: `Add --source: ${sources.join(", ")}.`,
    });
  }
  const newest = candidates.findLast(({ time }) => time <= end);
  if (newest !== undefined) return newest;
  const oldest = candidates[0];
  throw new StillpointError("not_found", {
    what: `Cannot take the ${nameOf(text)}: there is none`,
    next:
      oldest === undefined
        ? "`stillpoint run POLICY` makes one at the primary."
        : `The oldest is of ${formatTime(oldest.time)} UTC.`,
  });
}

function nameOf(text: string): string {
  return text === "latest" ? "latest recovery point" : `latest recovery point until ${text}`;
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
  cli: Omit<Cli, "input">,
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
