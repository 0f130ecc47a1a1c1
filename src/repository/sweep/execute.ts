/** Does what a sweep's plan says, in an order in which it may be cut off anywhere (docs/format.md section 11). */
import { isStillpointError } from "../../errors.ts";
import { throwIfCancelled } from "../../host/cancel.ts";
import type { CallOptions } from "../../storage/storage.ts";
import { forEachAtOnce } from "../points/catalog.ts";
import { type ExecutorFactory, executorFor } from "../threads/executor.ts";
import { packName } from "../blobs/pack.ts";
import type { Repository } from "../repository.ts";
import { putSmallObject } from "../points/small-objects.ts";
import { copyBlobs } from "./copy-task.ts";
import { putIndex, replaceIndexes } from "./indexes.ts";
import type { OnStep, PlannedSweep, SweepPlan } from "./plan.ts";
import { requireSameListing } from "./safety.ts";
import type { PackUse } from "./usage.ts";
import { WriteSession } from "../blobs/write-session.ts";

const deletesAtOnce = 8;

export interface ExecuteOptions extends CallOptions {
  readonly executor: ExecutorFactory;
  /** In ms; goes into the record. */
  readonly grace: number;
  /** When this sweep began, by the store's clock, in ms since the epoch. */
  readonly since: number;
  readonly acceptLost: ReadonlySet<string>;
  /** Called before each step, and awaited: renews the lease. */
  readonly onProgress: () => Promise<void>;
  readonly onStep?: OnStep | undefined;
}

export interface Executed {
  /** The storage had no room for rewriting: what was to be rewritten stays as it is. */
  readonly noRoom: boolean;
}

/**
 * Deletes first, since that gives room; then names what the next visit may delete, and tidies up. Rewriting comes last: it may take days,
 * and each time be cut off. What was rewritten is named in a record of its own, when the copies are durable.
 *
 * @throws a storage error, `damaged` when something to be copied isn't whole, `busy` when the lease was lost, `cancelled`.
 */
export async function executeSweep(
  repository: Repository,
  planned: PlannedSweep,
  options: ExecuteOptions,
): Promise<Executed> {
  const { plan } = planned;
  const { onProgress, signal, since } = options;
  await requireSameListing(repository, { catalog: planned.catalog, acceptLost: options.acceptLost, since, signal });
  if (plan.adopt.length > 0) await putIndex(repository, plan.adopt, { signal });
  await onProgress();
  await replaceIndexes(repository, {
    rewrite: plan.replaceIndexes.filter(({ redundant }) => !redundant),
    remove: plan.replaceIndexes.map(({ name }) => name),
    without: new Set([...plan.remove.map(({ id }) => id), ...plan.replaceIndexes.flatMap(({ gone }) => gone)]),
    onProgress,
    signal,
  });
  await onProgress();
  await deleteAll(
    repository,
    plan.remove.map(({ id }) => packName(id)),
    options,
    (done) => options.onStep?.("deleting", done, plan.remove.length),
  );
  await onProgress();
  if (plan.writeRecord) await writeRecord(repository, planned, plan, options);
  for (const step of plan.cleanup) await deleteAll(repository, step, options);
  const rewritten = await rewrite(repository, planned, options);
  await onProgress();
  if (rewritten && plan.rewrite.length > 0)
    await writeRecord(repository, planned, { condemn: plan.rewrite, orphans: [] }, options);
  throwIfCancelled(signal);
  return { noRoom: !rewritten };
}

/** Returns whether there was room. What was copied when there was none is indexed: the next sweep finds it unused in the old packs. */
async function rewrite(repository: Repository, planned: PlannedSweep, options: ExecuteOptions): Promise<boolean> {
  const { plan, store } = planned;
  if (plan.rewrite.length === 0) return true;
  const executor = executorFor(repository, options.executor);
  const session = new WriteSession(store, executor, options.signal, { repository });
  const total = plan.rewrite.reduce((sum, { size }) => sum + size, 0);
  let done = 0;
  try {
    await forEachAtOnce(plan.rewrite, session.executor.parallel, async (pack) => {
      await options.onProgress();
      await session.run(copyBlobs, { pack: pack.id, numbers: await numbersAtHome(planned, pack, options) });
      done += pack.size;
      options.onStep?.("rewriting", done, total);
    });
    await session.finish();
    return true;
  } catch (error) {
    requireFull(error);
    // Where a pack didn't fit in, an index often does.
    await session.indexDurable().catch(requireFull);
    return false;
  } finally {
    await session.close();
  }
}

function requireFull(error: unknown): void {
  if (!isStillpointError(error, "storage_full")) throw error;
}

/** The blobs in use of which this pack has the copy that counts. */
async function numbersAtHome(
  { store, marks, usage }: PlannedSweep,
  pack: PackUse,
  { signal }: CallOptions,
): Promise<Uint32Array> {
  const { table } = await store.reader.openPack(store.numberOf(pack.id) ?? 0, { signal });
  const seen = new Set<string>();
  const wanted = [...table].filter(({ id, kind }) => {
    if (!marks.has(kind, id)) return false;
    const key = id.toString("latin1");
    if ((usage.homes.get(key) ?? pack.id) !== pack.id || seen.has(key)) return false;
    seen.add(key);
    return true;
  });
  return Uint32Array.from(wanted, ({ number }) => number);
}

async function writeRecord(
  repository: Repository,
  { plan: { points } }: PlannedSweep,
  { condemn, orphans }: Pick<SweepPlan, "condemn" | "orphans">,
  { grace, signal }: ExecuteOptions,
): Promise<void> {
  const ids = (packs: readonly PackUse[]): string[] => packs.map(({ id }) => id);
  const time = new Date(repository.clock.now()).toISOString();
  await putSmallObject(
    repository,
    "sweeps",
    { version: 1, time, grace, points: [...points], condemned: ids(condemn), orphans: ids(orphans) },
    { signal },
  );
}

async function deleteAll(
  repository: Repository,
  names: readonly string[],
  { onProgress, signal }: ExecuteOptions,
  onDeleted?: (done: number) => void,
): Promise<void> {
  let done = 0;
  await forEachAtOnce(names, deletesAtOnce, async (name) => {
    throwIfCancelled(signal);
    await onProgress();
    await repository.storage.delete(name, { signal });
    onDeleted?.(++done);
  });
}
