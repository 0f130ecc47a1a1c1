/** Finding a source's points without reading them all. */
import { isStillpointError } from "../errors.ts";
import { readPoint } from "../repository/points/catalog.ts";
import { parsePointName, type RecoveryPoint } from "../repository/points/manifest.ts";
import type { Repository } from "../repository/repository.ts";
import type { CallOptions } from "../storage/storage.ts";

/** The source's newest point that can be read; undefined when it has none. Throws storage errors. */
export async function newestPoint(
  repository: Repository,
  source: string,
  options?: CallOptions,
): Promise<RecoveryPoint | undefined> {
  const names: string[] = [];
  for await (const { name } of repository.storage.list(`points/${repository.keys.sourceTag(source)}/`, options)) {
    if (parsePointName(name) !== undefined) names.push(name);
  }
  // Names of the same source sort by time.
  for (const name of names.toSorted().toReversed()) {
    try {
      return await readPoint(repository, name, options);
    } catch (error) {
      if (!isStillpointError(error, "damaged") && !isStillpointError(error, "object_missing")) throw error;
    }
  }
  return undefined;
}
