/** Sweep records: what earlier visits decided, and when the store says that they did. */
import { StillpointError } from "../../errors.ts";
import type { CallOptions } from "../../storage/storage.ts";
import type { BlobStore } from "../blobs/blob-store.ts";
import type { SweepRecord } from "../points/small-objects.ts";

/** A sweep record, with when the store says that it was written, in ms since the epoch. */
export interface DatedRecord {
  readonly name: string;
  readonly time: number;
  readonly record: SweepRecord;
}

/** When a sweep visits, by the store's clock, in ms since the epoch, and its grace period in ms. */
export interface Visit {
  readonly now: number;
  readonly grace: number;
}

/** The records that the store was loaded with, oldest first. Throws `sweep_unsafe` when they aren't the same any more, or a storage error. */
export async function dateRecords(store: BlobStore, options: CallOptions): Promise<DatedRecord[]> {
  const { storage } = store.repository;
  const dated: DatedRecord[] = [];
  for await (const { name, time } of storage.list("sweeps/", options)) {
    const record = store.sweeps.get(name);
    if (record === undefined) throw unsettled(storage.location);
    dated.push({ name, time, record });
  }
  if (dated.length !== store.sweeps.size) throw unsettled(storage.location);
  return dated.toSorted((a, b) => a.time - b.time || (a.name < b.name ? -1 : 1));
}

/** Ids of all packs that a record names. */
export function namedPacks({ condemned, orphans }: SweepRecord): string[] {
  return [...condemned, ...orphans];
}

/** When each named pack may be deleted at the earliest, by pack id. */
export function dueTimes(records: readonly DatedRecord[]): Map<string, number> {
  const due = new Map<string, number>();
  for (const { time, record } of records) {
    for (const id of namedPacks(record))
      due.set(id, Math.min(due.get(id) ?? Number.POSITIVE_INFINITY, time + record.grace));
  }
  return due;
}

/**
 * Whether a record has done its work after a visit at `now` (by the store's clock): its packs are deleted, or found to be needed. One of a
 * sweep with another grace period stays for the longer of both: a writer that goes by the longer one must see that there is a shorter one.
 */
export function isDecided({ time, record }: DatedRecord, { now, grace }: Visit): boolean {
  if (namedPacks(record).length === 0 && record.grace === grace) return true;
  return time + Math.max(record.grace, grace) <= now;
}

function unsettled(location: string): StillpointError {
  return new StillpointError("sweep_unsafe", {
    what: `Cannot sweep ${location}: two listings of its sweep records differ`,
    safe: "Nothing was deleted.",
    next: "See that no other sweep is running, and try again.",
  });
}
