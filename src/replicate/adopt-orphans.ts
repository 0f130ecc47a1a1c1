/** Finding again what an interrupted replication had sent. */
import { isStillpointError } from "../errors.ts";
import type { BlobStore } from "../repository/blobs/blob-store.ts";
import { readPack } from "../repository/blobs/open-packs.ts";
import { forEachAtOnce } from "../repository/points/catalog.ts";
import { sealIndexes } from "../repository/blobs/index-object.ts";
import type { PackInfo } from "../repository/blobs/pack.ts";
import { verifyPack } from "../repository/check/pack.ts";
import type { CallOptions } from "../storage/storage.ts";
import type { SweepNotices } from "./sweep-notices.ts";

const packsAtOnce = 16;

export interface AdoptOptions extends CallOptions {
  /** Whether any point there is known to be damaged. */
  readonly damaged: boolean;
}

/**
 * Indexes the packs that are in no index, durably; returns how many. A pack is stored as a whole or not at all, and its name
 * vouches for its table, so that the table is all that needs to be read. But where points are `damaged` a repair may have taken it out of
 * the index: then it is read to the last byte, and indexed if it is whole. Packs that another writer is just about to index are indexed
 * twice, which harms nobody. Left alone are those that a sweep has noticed, since it may be deleting them just now, and those that can't
 * be read: the sweep's and the check's business.
 *
 * Throws storage errors.
 */
export async function adoptOrphans(store: BlobStore, notices: SweepNotices, options: AdoptOptions): Promise<number> {
  const { keys, storage } = store.repository;
  const adopted: PackInfo[] = [];
  const orphans = store.orphans.filter(({ id }) => !notices.doomed.has(id));
  await forEachAtOnce(orphans, packsAtOnce, async ({ id, size }) => {
    try {
      const { info, damage } = options.damaged
        ? await verifyPack(store.repository, { id, size }, options)
        : { ...(await readPack(keys, storage, { id, size }, options)), damage: undefined };
      if (info !== undefined && damage === undefined) adopted.push(info);
    } catch (error) {
      const unusable = ["damaged", "object_missing", "format_unsupported"] as const;
      if (!unusable.some((code) => isStillpointError(error, code))) throw error;
    }
  });
  for (const { name, data } of sealIndexes(keys, adopted)) await storage.put(name, [data], options);
  for (const pack of adopted) store.add(pack);
  return adopted.length;
}
