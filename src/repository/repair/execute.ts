/** Does what a repair's plan says: copies first, then the index, and nothing that might still be of use is deleted. */
import { throwIfCancelled } from "../../host/cancel.ts";
import type { CallOptions } from "../../storage/storage.ts";
import { BlobMap } from "../check/affected.ts";
import { readSealed, sealedOf } from "../check/sealed-blobs.ts";
import { type ExecutorFactory, executorFor } from "../threads/executor.ts";
import { headerLength } from "../format.ts";
import { openBlob, openStored, packName } from "../blobs/pack.ts";
import { executeObjects } from "./objects.ts";
import type { PlannedRepair, Salvage } from "./plan.ts";
import { fetchBlob } from "./sources.ts";
import type { Repository } from "../repository.ts";
import { putIndex, replaceIndexes } from "../sweep/indexes.ts";
import { WriteSession } from "../blobs/write-session.ts";

export interface ExecuteRepairOptions extends CallOptions {
  readonly executor: ExecutorFactory;
  /** Called between steps, and awaited: renews the lease. */
  readonly onProgress: () => Promise<void>;
}

export interface Repaired {
  /** Blobs copied out of damaged packs. */
  readonly salvaged: number;
  /** Blobs that came from replicas. */
  readonly fetched: number;
}

/** Throws a storage error, `busy` when the lease was lost, `cancelled`. What was done by then stays, and is right. */
export async function executeRepair(
  repository: Repository,
  planned: PlannedRepair,
  options: ExecuteRepairOptions,
): Promise<Repaired> {
  const { plan, diagnosis, replicas } = planned;
  const { onProgress, signal } = options;
  const done = await saveBlobs(repository, planned, options);
  await onProgress();
  if (plan.index.length > 0) await putIndex(repository, plan.index, { signal });
  const without = new Set(plan.drop.map(({ id }) => id));
  const good = diagnosis.store.indexes.filter(({ name }) => !plan.badIndexes.includes(name));
  const rewrite = without.size === 0 ? [] : good;
  const remove = [...rewrite.map(({ name }) => name), ...plan.badIndexes];
  await replaceIndexes(repository, { rewrite, remove, without, onProgress, signal });
  await executeObjects(repository, plan.objects, replicas, { signal });
  return done;
}

async function saveBlobs(
  repository: Repository,
  { plan, diagnosis, replicas }: PlannedRepair,
  options: ExecuteRepairOptions,
): Promise<Repaired> {
  const { signal } = options;
  const executor = executorFor(repository, options.executor);
  const session = new WriteSession(diagnosis.store, executor, signal, { repository });
  const saved = new BlobMap<true>();
  let salvaged = 0;
  let fetched = 0;
  try {
    for (const one of plan.salvage) {
      await options.onProgress();
      salvaged += await salvagePack(session, one, saved, signal);
    }
    for (const { kind, id } of plan.fetch) {
      await options.onProgress();
      const blob = await fetchBlob(replicas, kind, id, { signal });
      if (blob === undefined) continue;
      await session.writer.addStored(kind, id, blob.encoding, blob.rawLength, blob.stored);
      fetched += 1;
    }
    await session.finish();
  } finally {
    await session.close();
  }
  return { salvaged, fetched };
}

/** Copies what the plan found to be whole; each blob is verified again before it is sealed. Throws for one that isn't whole any more. */
async function salvagePack(
  { store, writer }: WriteSession,
  { pack, entries }: Salvage,
  saved: BlobMap<true>,
  signal: AbortSignal | undefined,
): Promise<number> {
  const { keys, storage } = store.repository;
  const objectKey = keys.objectKey(await storage.get(packName(pack), { offset: 0, length: headerLength }, { signal }));
  const blobs = await readSealed(storage, pack, entries, { signal });
  let salvaged = 0;
  for (const entry of entries) {
    throwIfCancelled(signal);
    const { id, kind, encoding, rawLength } = entry;
    if (saved.get(kind, id) === true) continue;
    const sealed = sealedOf(blobs, entry);
    openBlob(keys, objectKey, entry, sealed, pack);
    await writer.addStored(kind, id, encoding, rawLength, openStored(objectKey, entry, sealed, pack));
    saved.set(kind, id, true);
    salvaged += 1;
  }
  return salvaged;
}
