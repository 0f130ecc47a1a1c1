/** What a sweep can't explain: then it deletes nothing (docs/format.md section 11). */
import { isStillpointError, StillpointError } from "../../errors.ts";
import type { CallOptions } from "../../storage/storage.ts";
import { type Catalog, forEachAtOnce } from "../points/catalog.ts";
import { parsePointName } from "../points/manifest.ts";
import type { Repository } from "../repository.ts";
import { getSmallObject } from "../points/small-objects.ts";
import type { DatedRecord } from "./records.ts";

/** Reads at once. */
const readsAtOnce = 16;

export interface Explained extends CallOptions {
  readonly catalog: Catalog;
  readonly records: readonly DatedRecord[];
  readonly acceptLost: ReadonlySet<string>;
}

/**
 * Every manifest can be read, there is at least one, and each point that a record lists is there or was forgotten.
 *
 * @throws StillpointError `damaged`, `sweep_unsafe`, or a storage error
 */
export async function requireExplained(repository: Repository, seen: Explained): Promise<void> {
  const { catalog, acceptLost } = seen;
  const { location } = repository.storage;
  for (const { name, error } of catalog.damaged) {
    const point = parsePointName(name);
    if (point === undefined || acceptLost.has(point.id)) continue;
    const mend =
      "Run `stillpoint repair`; if no replica has the point, accept its loss with `stillpoint sweep --accept-lost`.";
    throw new StillpointError(error.code, {
      what: `Cannot sweep ${location}: what the recovery point ${point.id} needs isn't known. ${error.parts.what}`,
      safe: "Nothing was deleted.",
      next:
        error.code === "damaged" ? mend : `Try again later: the storage may only be disturbed. If it stays so: ${mend}`,
      cause: error,
    });
  }
  if (catalog.points.length === 0) {
    throw new StillpointError("sweep_unsafe", {
      what: `Cannot sweep ${location}: it holds no recovery point at all`,
      safe: "Nothing was deleted.",
      next: "See that this is the right place; a repository that nobody needs any more is deleted as a whole.",
    });
  }
  await requireForgotten(repository, seen);
}

async function requireForgotten(
  repository: Repository,
  { catalog, records, acceptLost, signal }: Explained,
): Promise<void> {
  const present = new Set(catalog.points.map(({ id }) => id));
  const listed = new Set(records.flatMap(({ record }) => record.points));
  const missing = [...listed].filter((id) => !present.has(id) && !acceptLost.has(id));
  await forEachAtOnce(missing, readsAtOnce, async (id) => {
    try {
      await getSmallObject(repository, "forgotten", `forgotten/${id}`, { signal });
    } catch (error) {
      const { location } = repository.storage;
      if (isStillpointError(error, "damaged"))
        throw new StillpointError("damaged", {
          what: `Cannot sweep ${location}: whether the recovery point ${id}, which is gone, was forgotten isn't known. ${error.parts.what}`,
          safe: "Nothing was deleted.",
          next: "Run `stillpoint repair`; if no replica has the record, accept that the point is gone with `stillpoint sweep --accept-lost`.",
          cause: error,
        });
      if (!isStillpointError(error, "object_missing")) throw error;
      throw new StillpointError("sweep_unsafe", {
        what: `Cannot sweep ${location}: the recovery point ${id}, which an earlier sweep saw, is missing, and no record says that it was forgotten`,
        safe: "Nothing was deleted.",
        next: "Run `stillpoint check`, then `stillpoint repair`; if no replica has the point, accept its loss with `stillpoint sweep --accept-lost`.",
        cause: error,
      });
    }
  });
}

/**
 * Lists the points once more: one that was there before `since` (by the store's clock, in ms since the epoch) and that
 * isn't in the catalog shows that the first listing can't be trusted.
 *
 * @throws StillpointError `sweep_unsafe`, or a storage error
 */
export async function requireSameListing(
  repository: Repository,
  { catalog, acceptLost, since, signal }: Omit<Explained, "records"> & { readonly since: number },
): Promise<void> {
  const known = new Set(catalog.points.map(({ name }) => name));
  for await (const { name, time } of repository.storage.list("points/", { signal })) {
    const point = parsePointName(name);
    if (point === undefined || known.has(name) || time >= since || acceptLost.has(point.id)) continue;
    throw new StillpointError("sweep_unsafe", {
      what: `Cannot sweep ${repository.storage.location}: its listings contradict each other, the recovery point ${point.id} was in one and not in the other`,
      safe: "Nothing was deleted.",
      next: "Try again later; if it happens again, the storage doesn't keep its promises.",
    });
  }
}
