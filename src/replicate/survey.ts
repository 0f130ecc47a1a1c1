/** What a location holds, by the names of its objects alone: listings, whose answers overlap; nothing is read. */
import { parsePointName } from "../repository/manifest.ts";
import type { CallOptions, Storage } from "../storage/storage.ts";

/** Ids of points: those that are there, and those that were deleted there on purpose. */
export interface PointSurvey {
  readonly points: ReadonlySet<string>;
  readonly forgotten: ReadonlySet<string>;
}

/** Names of the objects in force, by the point's id. */
export interface NoteSurvey {
  readonly holds: ReadonlyMap<string, string>;
  readonly tags: ReadonlyMap<string, string>;
}

/** Throws storage errors. */
export async function surveyPoints(storage: Storage, options: CallOptions = {}): Promise<PointSurvey> {
  const [points, forgotten] = await Promise.all([
    newestNames(storage, "points", (name) => parsePointName(name)?.id, options),
    newestNames(storage, "forgotten", pointOf, options),
  ]);
  return { points: new Set(points.keys()), forgotten: new Set(forgotten.keys()) };
}

/** Throws storage errors. */
export async function surveyNotes(storage: Storage, options: CallOptions = {}): Promise<NoteSurvey> {
  const [holds, tags] = await Promise.all([
    newestNames(storage, "holds", pointOf, options),
    newestNames(storage, "tags", pointOf, options),
  ]);
  return { holds, tags };
}

function pointOf(name: string): string | undefined {
  return name.split("/")[1];
}

/** The greatest name of each point's in a folder. */
async function newestNames(
  storage: Storage,
  folder: string,
  idOf: (name: string) => string | undefined,
  options: CallOptions,
): Promise<Map<string, string>> {
  const newest = new Map<string, string>();
  for await (const { name } of storage.list(`${folder}/`, options)) {
    const id = idOf(name);
    if (id !== undefined && name > (newest.get(id) ?? "")) newest.set(id, name);
  }
  return newest;
}
