/**
 * Repairs a repository: what is locked from its locked versions, an index from its packs, blobs and manifests from replicas; without a replica it saves what is
 * still whole, and says what isn't.
 *
 * Nothing is edited in place. A damaged pack is only taken out of the index: captures then store its content again, which
 * makes older points whole, too; a sweep deletes it when nobody needs it.
 */
import type { CallOptions } from "../../storage/storage.ts";
import type { CheckProgress, ReadData } from "../check/packs.ts";
import type { Finding } from "../check/findings.ts";
import { recordProofs } from "../check/proofs.ts";
import { type ExecutorFactory, executorFor } from "../threads/executor.ts";
import { withLease } from "../lease.ts";
import { packName } from "../blobs/pack.ts";
import { executeRepair, type Repaired } from "./execute.ts";
import { executeObjects, type ObjectAction } from "./objects.ts";
import { type PlannedRepair, planRepair, type RepairPlan } from "./plan.ts";
import { writeLocked } from "../locks/write-locked.ts";
import type { Repository } from "../repository.ts";
import { viewLocked } from "../check/locks.ts";
import { planUncovering, uncoverLocked } from "./uncover.ts";

export interface RepairOptions extends CallOptions {
  readonly executor: ExecutorFactory;
  /** Opened with the same keys; asked in this order. */
  readonly replicas: readonly Repository[];
  /** This repository is a replica itself. */
  readonly replica?: boolean;
  /** What to read to find damage; by default every byte. Undefined as a value: structure only. */
  readonly readData?: ReadData | undefined;
  readonly dryRun?: boolean;
  readonly holder?: string;
  readonly onProgress?: ((progress: CheckProgress) => void) | undefined;
}

export interface RepairReport {
  readonly dryRun: boolean;
  /** Objects of one body, and what becomes of each. */
  readonly objects: readonly ObjectAction[];
  /** Names of packs that are named in the index again. */
  readonly indexed: readonly string[];
  /** Names of packs that the index doesn't name any more. */
  readonly dropped: readonly string[];
  /** Blobs copied out of damaged packs, and blobs from replicas; in a dry run, what is to be tried. */
  readonly salvaged: number;
  readonly fetched: number;
  /** What is still wrong after the repair, with the files and byte ranges that it costs. */
  readonly lost: readonly Finding[];
}

/** @throws StillpointError `busy` when another sweeps or repairs, a storage error, `cancelled`. */
export async function repairRepository(repository: Repository, options: RepairOptions): Promise<RepairReport> {
  const started = repository.clock.monotonic();
  const { signal, holder = "stillpoint repair", dryRun = false } = options;
  const planning = { ...options, readData: "readData" in options ? options.readData : { group: 1, of: 1 } };
  if (dryRun) {
    const locked = await viewLocked(repository, { signal });
    const seen = locked?.intact ?? repository;
    const executor = executorFor(seen, options.executor);
    const { plan } = await planRepair(seen, { ...planning, executor, pins: locked?.pins });
    return report([{ ...nothing, objects: planUncovering(locked) }, plan], undefined);
  }
  return await withLease(repository, { holder, signal }, async (lease) => {
    const onProgress = async (): Promise<void> => await lease.keep(signal);
    const view = await viewLocked(repository, { signal });
    const uncovered = await uncoverLocked(repository, view, { onProgress, signal });
    const pins = view?.pins;
    return await writeLocked(repository, { pins, signal }, async (locked) => {
      // What the points that are back need must be known before anything else is decided.
      const back = await bringPointsBack(locked, { ...planning, pins, readData: undefined });
      const planned = await planRepair(repository, { ...planning, pins });
      await recordLoss(locked, planned, repository.clock.monotonic() - started, { signal });
      const done = await executeRepair(locked, planned, { executor: options.executor, onProgress, signal });
      return report([{ ...nothing, objects: [...uncovered, ...back] }, planned.plan], done);
    });
  });
}

/**
 * Stored before the index stops naming what is lost: from then on only its proof tells that a point isn't whole, and that nothing may be
 * taken over from it unseen.
 */
async function recordLoss(
  repository: Repository,
  { plan, diagnosis }: PlannedRepair,
  duration: number,
  options: CallOptions,
): Promise<void> {
  const affected = plan.lost.flatMap((finding) => finding.affected);
  const { points } = diagnosis.catalog;
  await recordProofs(repository, { points, affected, everything: false, seconds: duration / 1000 }, options);
}

/** Restores manifests until none is missing that a replica has: one that is back may name another that is missing. */
async function bringPointsBack(
  repository: Repository,
  planning: Parameters<typeof planRepair>[1],
): Promise<ObjectAction[]> {
  const back = new Map<string, ObjectAction>();
  for (;;) {
    const { plan, replicas } = await planRepair(repository, planning);
    const found = plan.objects.filter((action) => isPoint(action) && !back.has(action.name));
    if (found.length === 0) return [...back.values()];
    await executeObjects(repository, found, replicas, planning);
    for (const action of found) back.set(action.name, action);
  }
}

const nothing: RepairPlan = { objects: [], index: [], badIndexes: [], drop: [], salvage: [], fetch: [], lost: [] };

function isPoint({ name, action }: ObjectAction): boolean {
  return action === "restore" && name.startsWith("points/");
}

function report(plans: readonly RepairPlan[], done: Repaired | undefined): RepairReport {
  const all = <T>(part: (plan: RepairPlan) => readonly T[]): T[] => plans.flatMap(part);
  return {
    dryRun: done === undefined,
    objects: all(({ objects }) => objects.filter(({ action }) => action !== "lost")),
    indexed: all(({ index }) => index.map(({ id }) => packName(id))),
    dropped: all(({ drop }) => drop.map(({ id }) => packName(id))),
    salvaged: done?.salvaged ?? all(({ salvage }) => salvage.flatMap(({ entries }) => entries)).length,
    fetched: done?.fetched ?? all(({ fetch }) => fetch).length,
    lost: plans.at(-1)?.lost ?? [],
  };
}
