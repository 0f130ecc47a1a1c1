/** Finding a source's points without reading them all. */
import { forEachAtOnce, readPoint } from "../repository/points/catalog.ts";
import { parsePointName, type RecoveryPoint } from "../repository/points/manifest.ts";
import { type Damage, PassingOver, requireRead } from "../repository/points/unreadable.ts";
import type { Repository } from "../repository/repository.ts";
import type { CallOptions } from "../storage/storage.ts";

const readsAtOnce = 16;

/** The source's newest point that can be read; undefined when it has none. Throws storage errors. */
export async function newestPoint(
  repository: Repository,
  source: string,
  options?: CallOptions,
): Promise<RecoveryPoint | undefined> {
  const [newest] = await newestIn(repository, `points/${repository.keys.sourceTag(source)}/`, options);
  return newest;
}

/** A manifest's object as the storage lists it: the instant that its name says, and when the store says that it was written. */
export interface ListedPoint {
  readonly name: string;
  readonly time: number;
  readonly received: number;
}

export interface NewestOptions extends CallOptions {
  /** Which of a source's points to look among; by default all. */
  readonly among?: (listed: readonly ListedPoint[]) => readonly ListedPoint[];
  /** Whether a point counts. */
  readonly counts?: (point: RecoveryPoint) => boolean;
}

/** Of each source the newest point that can be read and that counts, in no particular order. Throws storage errors. */
export async function newestPoints(repository: Repository, options?: NewestOptions): Promise<RecoveryPoint[]> {
  const unread: Damage[] = [];
  const points = await newestIn(repository, "points/", options, unread);
  // That there is none is only known where the storage could read what it lists.
  if (points.length === 0) requireRead({ damaged: unread });
  return points;
}

async function newestIn(
  repository: Repository,
  prefix: string,
  { among = (listed) => listed, counts = () => true, signal }: NewestOptions = {},
  unread: Damage[] = [],
): Promise<RecoveryPoint[]> {
  const sources = new Map<string, ListedPoint[]>();
  for await (const { name, time: received } of repository.storage.list(prefix, { signal })) {
    const parsed = parsePointName(name);
    if (parsed === undefined) continue;
    const point = { name, time: parsed.time, received };
    const ofSource = sources.get(parsed.sourceTag);
    if (ofSource === undefined) sources.set(parsed.sourceTag, [point]);
    else ofSource.push(point);
  }
  const passing = new PassingOver((damage) => unread.push(damage));
  const newest: RecoveryPoint[] = [];
  await forEachAtOnce(sources.values(), readsAtOnce, async (listed) => {
    // Names of the same source sort by time.
    for (const { name } of among(listed).toSorted((a, b) => (a.name < b.name ? 1 : -1))) {
      const point = await passing.readIfThere(name, async () => await readPoint(repository, name, { signal }));
      if (point === undefined || !counts(point)) continue;
      newest.push(point);
      break;
    }
  });
  return newest;
}
