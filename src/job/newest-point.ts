/** Finding a source's points without reading them all. */
import { isStillpointError } from "../errors.ts";
import { forEachAtOnce, readPoint } from "../repository/points/catalog.ts";
import { parsePointName, type RecoveryPoint } from "../repository/points/manifest.ts";
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

/** Of each source the newest point that can be read, in no particular order. Throws storage errors. */
export async function newestPoints(repository: Repository, options?: CallOptions): Promise<RecoveryPoint[]> {
  return await newestIn(repository, "points/", options);
}

async function newestIn(repository: Repository, prefix: string, options?: CallOptions): Promise<RecoveryPoint[]> {
  const names = new Map<string, string[]>();
  for await (const { name } of repository.storage.list(prefix, options)) {
    const tag = parsePointName(name)?.sourceTag;
    const ofSource = names.get(tag ?? "");
    if (ofSource !== undefined) ofSource.push(name);
    else if (tag !== undefined) names.set(tag, [name]);
  }
  const newest: RecoveryPoint[] = [];
  await forEachAtOnce(names.values(), readsAtOnce, async (ofSource) => {
    const point = await firstReadable(repository, ofSource.toSorted().toReversed(), options);
    if (point !== undefined) newest.push(point);
  });
  return newest;
}

/** Names of the same source sort by time. */
async function firstReadable(
  repository: Repository,
  names: readonly string[],
  options?: CallOptions,
): Promise<RecoveryPoint | undefined> {
  for (const name of names) {
    try {
      return await readPoint(repository, name, options);
    } catch (error) {
      if (!isStillpointError(error, "damaged") && !isStillpointError(error, "object_missing")) throw error;
    }
  }
  return undefined;
}
