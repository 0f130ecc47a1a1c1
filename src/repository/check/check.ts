/** Checks a repository: structure always, every byte when asked; records proofs of what was read in full. */
import { throwIfCancelled } from "../../host/cancel.ts";
import { type CatalogPoint, forEachAtOnce } from "../points/catalog.ts";
import { findChainGaps } from "./chain.ts";
import { diagnose, type DiagnoseOptions, type Diagnosis } from "./diagnose.ts";
import { describeDiagnosis, type Finding } from "./findings.ts";
import { HeldLocks } from "./held-locks.ts";
import { describeLocked, type LockedView, viewLocked } from "./locks.ts";
import type { ReadData } from "./packs.ts";
import type { Repository } from "../repository.ts";
import { executorFor } from "../threads/executor.ts";
import { putSmallObject } from "../points/small-objects.ts";

export interface CheckOptions extends DiagnoseOptions {
  /** Of a replica: it needn't have every point of a source's chain. */
  readonly replica?: boolean;
  /** After every byte of the repository was read, store with each point whether it is whole. */
  readonly recordProofs?: boolean;
}

export interface CheckReport {
  /** Empty when all is well. */
  readonly findings: readonly Finding[];
  readonly points: number;
  /** In use. */
  readonly blobs: number;
  readonly packs: number;
  /** Which packs were read in full; undefined when none. */
  readonly readData: ReadData | undefined;
  readonly bytesRead: number;
  readonly seconds: number;
  /** Proofs stored. */
  readonly proofs: number;
  /** At a replica that locks: the points that are locked, and when the first of these locks ends, in ms since the epoch. */
  readonly locked: { readonly points: number; readonly until: number } | undefined;
}

/** @throws a storage error when the storage doesn't answer, `cancelled`. Damage is in the report, not thrown. */
export async function checkRepository(repository: Repository, options: CheckOptions): Promise<CheckReport> {
  const started = repository.clock.monotonic();
  const locked = await viewLocked(repository, options);
  const seen = locked?.intact ?? repository;
  const held = locked && (await HeldLocks.ask(locked, options));
  const executor = executorFor(seen, options.executor);
  const diagnosis = await diagnose(seen, { ...options, executor, watch: held });
  const deeds = locked === undefined ? [] : await describeLocked(locked, diagnosis.catalog.points, options);
  const gaps = await findChainGaps(seen, diagnosis, {
    replica: options.replica === true,
    signal: options.signal,
  });
  const seconds = (repository.clock.monotonic() - started) / 1000;
  const everything = options.readData?.of === 1;
  const proofs =
    options.recordProofs === true && everything ? await recordProofs(repository, diagnosis, seconds, options) : 0;
  return {
    findings: [...deeds, ...((await held?.findings(options)) ?? []), ...describeDiagnosis(diagnosis), ...gaps],
    points: diagnosis.catalog.points.length,
    blobs: diagnosis.marks.count,
    packs: diagnosis.store.present.size,
    readData: options.readData,
    bytesRead: diagnosis.bytesRead,
    seconds,
    proofs,
    locked: locked && summaryOf(locked),
  };
}

function summaryOf({ pins }: LockedView): CheckReport["locked"] {
  const ends = [...pins.points.values()];
  return ends.length === 0 ? undefined : { points: ends.length, until: Math.min(...ends) };
}

const proofsAtOnce = 8;

/** One for each point: every byte that it needs was read and verified, or could not be. Returns how many. */
async function recordProofs(
  repository: Repository,
  { catalog, unreadable }: Diagnosis,
  seconds: number,
  { signal }: CheckOptions,
): Promise<number> {
  const pieces = new Map<string, number>();
  for (const { affected } of unreadable.values()) {
    for (const { point } of affected) pieces.set(point, (pieces.get(point) ?? 0) + 1);
  }
  const time = new Date(repository.clock.now()).toISOString();
  await forEachAtOnce(catalog.points, proofsAtOnce, async ({ id: point }: CatalogPoint) => {
    throwIfCancelled(signal);
    const lost = pieces.get(point) ?? 0;
    const result = lost === 0 ? "passed" : "failed";
    const detail = lost === 0 ? "every byte was read and verified" : `${String(lost)} pieces can't be read`;
    await putSmallObject(
      repository,
      "proofs",
      { version: 1, point, time, method: "read-data", result, seconds, detail },
      { signal },
    );
  });
  return catalog.points.length;
}
