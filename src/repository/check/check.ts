/** Checks a repository: structure always, every byte when asked; records with each point what it found. */
import { isStillpointError } from "../../errors.ts";
import type { CallOptions } from "../../storage/storage.ts";
import { findChainGaps } from "./chain.ts";
import { diagnose, type DiagnoseOptions, type Diagnosis } from "./diagnose.ts";
import { describeDiagnosis, type Finding } from "./findings.ts";
import { HeldLocks } from "./held-locks.ts";
import { describeLocked, type LockedView, viewLocked } from "./locks.ts";
import type { ReadData } from "./packs.ts";
import { packName } from "../blobs/pack.ts";
import type { Repository } from "../repository.ts";
import { executorFor } from "../threads/executor.ts";
import { recordProofs } from "./proofs.ts";

export interface CheckOptions extends DiagnoseOptions {
  /** Of a replica: it needn't have every point of a source's chain. */
  readonly replica?: boolean;
  /** Store with each point what can't be read of it, and, when every byte of the repository was read, that all can. */
  readonly recordProofs?: boolean;
}

export interface CheckReport {
  /** Empty when all is well. */
  readonly findings: readonly Finding[];
  /** How many of them only reading shows: a check that reads something else doesn't see them. */
  readonly foundByReading: number;
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
  const { readData, signal } = options;
  const findings = [...deeds, ...((await held?.findings(options)) ?? []), ...describeDiagnosis(diagnosis), ...gaps];
  const recorded =
    options.recordProofs === true
      ? await record(repository, diagnosis, { readData, seconds, findings, signal })
      : { findings, proofs: 0 };
  return {
    ...recorded,
    foundByReading: countRead(diagnosis, findings),
    points: diagnosis.catalog.points.length,
    blobs: diagnosis.marks.count,
    packs: diagnosis.store.present.size,
    readData,
    bytesRead: diagnosis.bytesRead,
    seconds,
    locked: locked && summaryOf(locked),
  };
}

function countRead({ badPacks }: Diagnosis, findings: readonly Finding[]): number {
  // That a pack is missing, or its table doesn't open, every check sees.
  const read = new Set(badPacks.filter(({ noneReadable }) => !noneReadable).map(({ id }) => packName(id)));
  return findings.filter(({ kind, object }) => kind === "pack" && read.has(object)).length;
}

function summaryOf({ pins }: LockedView): CheckReport["locked"] {
  const ends = [...pins.points.values()];
  return ends.length === 0 ? undefined : { points: ends.length, until: Math.min(...ends) };
}

/** Damage that was found is told all the same where that can't be stored, such as on a full disk. */
async function record(
  repository: Repository,
  { catalog: { points }, unreadable }: Diagnosis,
  { readData, seconds, findings, signal }: Pick<CheckReport, "readData" | "seconds" | "findings"> & CallOptions,
): Promise<Pick<CheckReport, "findings" | "proofs">> {
  const affected = [...unreadable.values()].flatMap((blob) => blob.affected);
  const everything = readData?.of === 1;
  try {
    const proofs = await recordProofs(repository, { points, affected, everything, seconds }, { signal });
    return { findings, proofs };
  } catch (error) {
    if (findings.length === 0 || !isStillpointError(error) || error.code === "cancelled") throw error;
    const message = `Cannot record with the recovery points what was found: ${error.parts.what}`;
    return { findings: [...findings, { kind: "object", object: "proofs", message, affected: [] }], proofs: 0 };
  }
}
