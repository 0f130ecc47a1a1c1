/** Naming recovery points as people do: by the beginning of the id, by the time, or as `latest`. */
import { StillpointError } from "../errors.ts";
import { type Catalog, type CatalogPoint, findPoint, loadCatalog } from "../repository/points/catalog.ts";
import { parsePointName } from "../repository/points/manifest.ts";
import { requireRead } from "../repository/points/unreadable.ts";
import type { Repository } from "../repository/repository.ts";
import type { Cli } from "./cli.ts";
import { formatTime } from "./format.ts";
import { endOfMoment } from "./parse-moment.ts";
import { reportDamage } from "./report-damage.ts";

export interface PointFlags {
  readonly source?: string;
}

export interface LoadPointOptions extends PointFlags {
  /** Who changes what is noted about a point has to know all that is: what the storage fails to read is thrown. */
  readonly allRead?: boolean;
}

/** What the verbs say of the argument that `choosePoint` takes. */
export const pointHelp =
  "the point's id or its beginning; `latest`; or a day (2026-11-17) or time (2026-11-17T14:00, in UTC): the newest until its end";

/** Clocks may differ by this much, in ms. */
const tolerance = 5 * 60_000;

/** The point that is meant. `points` are sorted by time. Says which ones it doesn't believe. Throws `not_found` or `usage`. */
export function choosePoint<T extends Pick<CatalogPoint, "id" | "time" | "received" | "manifest">>(
  { clock, output }: Pick<Cli, "clock" | "output">,
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
  const now = clock.now();
  const believed = believable(candidates, now);
  const newest = believed.findLast(({ time }) => time <= end);
  const doubtful = candidates.filter((point) => point.time <= end && !believed.includes(point));
  if (doubtful.length > 0) output.note(`stillpoint: The ${nameOf(text)} is taken ${without(doubtful, now)}`);
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

function without(doubtful: readonly Pick<CatalogPoint, "id" | "time">[], now: number): string {
  const [one] = doubtful.slice(-1).map(({ id, time }) => `${id.slice(0, 8)} of ${formatTime(time)} UTC`);
  const all = doubtful.length === 1 ? `${one}, which claims` : `${one} and ${doubtful.length - 1} more, which claim`;
  return `without ${all} to be of later than now, or than when it was stored: a clock was wrong, or somebody has forged it. Here it is ${formatTime(now)} UTC; if that is wrong, set it right. A point can be named by its id.`;
}

/** What somebody has dated wrongly isn't the newest for that. Where no date is right, it is this clock that is wrong, or the storage's. */
export function believable<T extends Pick<CatalogPoint, "time" | "received">>(
  points: readonly T[],
  now: number,
): readonly T[] {
  const believed = points.filter((point) => isBelievable(point, now));
  return believed.length === 0 ? points : believed;
}

/** Whether a point may be of when it claims to be: neither after now, nor after it was stored. */
export function isBelievable({ time, received }: Pick<CatalogPoint, "time" | "received">, now: number): boolean {
  return time <= Math.min(now, received) + tolerance;
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

/** Loads the catalog and chooses a point from it; says which newer ones can't be read. Throws `not_found`, `usage` or a storage error. */
export async function loadPoint(
  cli: Omit<Cli, "input">,
  repository: Repository,
  text: string,
  flags: LoadPointOptions = {},
): Promise<CatalogPoint> {
  const catalog = await loadCatalog(repository, { signal: cli.signal });
  if (flags.allRead === true) requireRead(catalog);
  try {
    const point = choosePoint(cli, catalog.points, text, flags);
    notePassedOver(cli, repository, catalog, point, text);
    return point;
  } catch (error) {
    reportDamage(cli, catalog);
    throw error;
  }
}

/** Of a choice by time: what is newer than the chosen point, was meant as well, and can't be read. */
function notePassedOver(
  { output }: Pick<Cli, "output">,
  { keys }: Repository,
  { damaged }: Catalog,
  chosen: CatalogPoint,
  text: string,
): void {
  const end = text === "latest" ? Number.POSITIVE_INFINITY : (endOfMoment(text) ?? chosen.time);
  const tag = keys.sourceTag(chosen.manifest.source);
  for (const { name, error } of damaged) {
    const point = parsePointName(name);
    if (point?.sourceTag !== tag || point.time <= chosen.time || point.time > end) continue;
    output.note(
      `stillpoint: ${error.parts.what}. That is the recovery point of ${formatTime(point.time)} UTC; the one before it that can be read is taken, of ${formatTime(chosen.time)} UTC.`,
    );
  }
}
