/** Which packs of a replica a recovery point needs, found by tree difference. */
import { missingBlob } from "../repository/blobs/blob-reader.ts";
import type { BlobStore } from "../repository/blobs/blob-store.ts";
import { isDamage } from "../repository/mark/mark.ts";
import type { Manifest } from "../repository/points/manifest.ts";
import type { NodeReader } from "../repository/tree/directory-tree.ts";
import type { CallOptions } from "../storage/storage.ts";
import { missingBlobs } from "./missing-blobs.ts";

export interface ReachOptions extends CallOptions {
  readonly primary: BlobStore;
  readonly replica: BlobStore;
  readonly manifest: Manifest;
  /** A point of the same source: what it shares with this one isn't looked at. */
  readonly base: Manifest | undefined;
}

/**
 * Ids of packs; those that a sweep has condemned only where no other has a blob. Throws `damaged`, also when a blob is in no pack that
 * is there, or a storage error.
 */
export async function reachedPacks({ primary, replica, manifest, base, signal }: ReachOptions): Promise<Set<string>> {
  const numbers = new Set<number>();
  const note = (id: Buffer): boolean => {
    const packs = [...replica.index.packsOf(id)];
    const staying = packs.filter((number) => !replica.condemned.has(number));
    for (const number of staying.length > 0 ? staying : packs) numbers.add(number);
    return packs.length > 0;
  };
  const reader = eitherReader(primary, replica);
  for await (const missing of missingBlobs({ reader, presence: { has: note }, manifest, base, signal })) {
    throw missing instanceof Error ? missing : missingBlob(missing.ids[0] as Buffer);
  }
  return new Set([...numbers].map((number) => replica.packs.get(number).id));
}

/** Nodes are read at the primary, which is near; those of points that it has forgotten, at the replica. */
function eitherReader(primary: BlobStore, replica: BlobStore): NodeReader {
  return {
    read: async (kind, id, options) => {
      try {
        return await primary.reader.read(kind, id, options);
      } catch (error) {
        if (!isDamage(error)) throw error;
        return await replica.reader.read(kind, id, options);
      }
    },
  };
}
