/** A primary on a simulated disk, and its replica in a storage that locks. */
import { BlobStore } from "../../src/repository/blobs/blob-store.ts";
import { loadCatalog } from "../../src/repository/points/catalog.ts";
import type { Repository } from "../../src/repository/repository.ts";
import type { LockRules } from "../../src/replicate/point-locks.ts";
import { prepareReplica } from "../../src/replicate/prepare-replica.ts";
import { replicate } from "../../src/replicate/replicate.ts";
import type { ReplicationReport } from "../../src/replicate/replication-report.ts";
import { makeTestRepository, type PassingClock } from "./repository.ts";
import { VersionedStorage } from "./versioned-storage.ts";

export const day = 24 * 3_600_000;

export interface LockedSite {
  readonly clock: PassingClock;
  readonly primary: Repository;
  readonly storage: VersionedStorage;
  readonly replica: Repository;
  /** Brings the replica up to date; by default everything there is to be locked for 20 days. */
  send(lock?: Partial<LockRules> | "unlocked"): Promise<ReplicationReport>;
}

export async function makeLockedSite(): Promise<LockedSite> {
  const { repository: primary, clock } = await makeTestRepository();
  const storage = new VersionedStorage(clock);
  const replica = await prepareReplica({ primary, storage, create: true });
  const names = new Set<string>();
  const rules: LockRules = {
    length: 20 * day,
    keeps: (points) => new Set(points.map(({ id }) => id)),
    own: {
      read: async () => await Promise.resolve(names),
      note: async (added) => {
        for (const name of added) names.add(name);
        return await Promise.resolve();
      },
    },
  };
  return {
    clock,
    primary,
    storage,
    replica,
    send: async (lock = {}) =>
      await replicate({
        primary: await BlobStore.load(primary),
        points: (await loadCatalog(primary)).points,
        replica,
        wanted: () => () => true,
        grace: day,
        lock: lock === "unlocked" ? undefined : { ...rules, ...lock },
      }),
  };
}
