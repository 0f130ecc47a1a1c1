/** Frees the space that no recovery point needs (docs/format.md section 11). */
import type { Files } from "../../host/files.ts";
import type { CallOptions } from "../../storage/storage.ts";
import type { ExecutorFactory } from "../threads/executor.ts";
import { withLease } from "../lease.ts";
import { writeLocked } from "../locks/write-locked.ts";
import type { Repository } from "../repository.ts";
import { type Executed, executeSweep } from "./execute.ts";
import { type KeptPacks, type OnStep, planSweep, type SweepLimits, type SweepPlan } from "./plan.ts";

export interface SweepOptions extends CallOptions {
  /** In ms: no capture that takes longer (less an hour, see the format) is committed, so what is older and unused stays unused. */
  readonly grace: number;
  readonly executor: ExecutorFactory;
  /** Only plans: nothing is written, not even the lease. */
  readonly dryRun?: boolean;
  /** For those who find the lease taken: host, process. */
  readonly holder?: string;
  /** Ids of points known to be lost for good. */
  readonly acceptLost?: ReadonlySet<string>;
  readonly limits?: SweepLimits;
  /** Asked how much is free, where the repository is in a folder. */
  readonly files?: Pick<Files, "freeSpace">;
  readonly onStep?: OnStep | undefined;
}

/** Packs and bytes of whole packs; `blobs` and `bytesInUse` are of what recovery points need. */
export interface SweepReport {
  readonly dryRun: boolean;
  readonly points: number;
  readonly blobs: number;
  readonly bytesInUse: number;
  /** Blobs that points need and that nobody finds, as far as a sweep sees: they are in no pack, or in a damaged one that no index names. */
  readonly unreadable: number;
  /** Not in use, named for the next visit; those rewritten are among them. */
  readonly condemned: PackSum;
  /** Deleted (or, in a dry run, to be deleted). */
  readonly deleted: PackSum;
  /** Packs whose blobs in use were copied to new ones. */
  readonly rewritten: PackSum;
  /** In no index, though needed, and whole: named in one again. */
  readonly adopted: PackSum;
  readonly kept: readonly KeptPacks[];
  /** Small objects that nobody needs any more. */
  readonly cleaned: number;
  /** The storage had no room for rewriting; the rest was done. */
  readonly noRoom: boolean;
  /** When the next visit may delete something, by the store's clock, in ms since the epoch; undefined when nothing waits. */
  readonly nextVisit: number | undefined;
}

export interface PackSum {
  readonly packs: number;
  readonly bytes: number;
}

/**
 * One visit: deletes what an earlier one named and nobody needs, and names what the next may delete.
 *
 * @throws StillpointError `busy` when another sweeps, `sweep_unsafe` or `damaged` when something can't be explained, a storage
 * error, `cancelled`. Whatever is thrown, nothing that a recovery point needs was deleted.
 */
export async function sweep(repository: Repository, options: SweepOptions): Promise<SweepReport> {
  const { signal, holder = "stillpoint sweep" } = options;
  if (options.dryRun === true) {
    const { plan } = await planSweep(repository, { ...options, now: repository.clock.now() });
    return report(plan, undefined);
  }
  return await withLease(repository, { holder, signal }, async (lease) => {
    const onProgress = async (): Promise<void> => await lease.keep(signal);
    const planned = await planSweep(repository, { ...options, now: lease.storeTime, onProgress });
    const { grace, executor, onStep, acceptLost = new Set<string>() } = options;
    const since = lease.storeTime;
    const done = await writeLocked(repository, { pins: planned.pins, signal }, async (locked) =>
      executeSweep(locked, planned, { grace, executor, acceptLost, since, onProgress, onStep, signal }),
    );
    await repository.memory?.accept(acceptLost);
    return report(planned.plan, done);
  });
}

function report(plan: SweepPlan, done: Executed | undefined): SweepReport {
  const { points, blobs, bytesInUse, unreadable, kept, nextVisit } = plan;
  const noRoom = done?.noRoom ?? false;
  const rewrite = noRoom ? [] : plan.rewrite;
  return {
    dryRun: done === undefined,
    points: points.length,
    blobs,
    bytesInUse,
    unreadable,
    condemned: sum([...plan.condemn, ...plan.orphans, ...rewrite]),
    deleted: sum(plan.remove),
    rewritten: sum(rewrite),
    adopted: sum(plan.adopt),
    kept,
    cleaned: plan.cleanup.flat().length,
    noRoom,
    nextVisit,
  };
}

function sum(packs: readonly { readonly size: number }[]): PackSum {
  return { packs: packs.length, bytes: packs.reduce((bytes, { size }) => bytes + size, 0) };
}
