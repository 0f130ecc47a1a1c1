/** What `check` finds out at a replica that locks: whether somebody has been at work on what is locked. */
import type { ObjectVersion } from "../../storage/object-locks.ts";
import type { CallOptions } from "../../storage/storage.ts";
import { withVersions } from "../locks/with-versions.ts";
import { firstReceipt } from "../locks/first-received.ts";
import { type Pins, readPins } from "../locks/pins.ts";
import { findTampering, type Tampering } from "../locks/tampering.ts";
import { versionsByName } from "../locks/versions.ts";
import type { CatalogPoint } from "../points/catalog.ts";
import { exists, type Repository } from "../repository.ts";
import type { Finding } from "./findings.ts";

/** The store's time, in ms, that a point's own may be ahead of: clocks differ. */
const tolerance = 5 * 60_000;

export interface LockedView {
  readonly pins: Pins;
  readonly tampering: readonly Tampering[];
  /**
   * The repository with what is locked in its place, whatever was done to it: for reading. Threads would open the storage by its
   * address, and see names alone: then it has none, and work is done in one thread.
   */
  readonly intact: Repository;
  /** By the objects' names, oldest first. */
  readonly versions: ReadonlyMap<string, readonly ObjectVersion[]>;
}

/** Undefined for a storage that was opened without locks. Throws `storage_denied` when it doesn't lock, or a storage error. */
export async function viewLocked(repository: Repository, options: CallOptions): Promise<LockedView | undefined> {
  const { storage } = repository;
  if (storage.locks === undefined) return undefined;
  // The records first: what they name was put before them, so it is in the listing, whoever is at work meanwhile.
  const pins = await readPins(repository, storage.locks, options);
  const versions = await versionsByName(storage.locks, "", options);
  const tampering = await findTampering(storage.locks, pins, versions, options);
  const there = tampering.filter(({ kind }) => kind !== "gone");
  const intact =
    there.length === 0
      ? repository
      : { ...repository, storage: withVersions(storage, storage.locks, there), address: undefined };
  return { pins, tampering, intact, versions };
}

/** What was done to locked objects and to records, and points that aren't what they claim. Throws a storage error. */
export async function describeLocked(
  view: LockedView,
  points: readonly CatalogPoint[],
  options: CallOptions,
): Promise<Finding[]> {
  const { pins, tampering } = view;
  const findings = tampering.map(({ kind, until, info: { name } }): Finding => {
    return { kind: "lock", object: name, message: `${name}, locked until ${day(until)}, ${deeds[kind]}`, affected: [] };
  });
  for (const { name, error } of pins.damaged)
    findings.push({ kind: "object", object: name, message: error.parts.what, affected: [] });
  for (const { record, object } of pins.contradictions) {
    const message = `${record} names another version of ${object} than was there first; the first one counts`;
    findings.push({ kind: "lock", object: record, message, affected: [] });
  }
  for (const point of points) {
    const message = await suspicion(view, point, options);
    if (message !== undefined) findings.push({ kind: "point", object: point.name, message, affected: [] });
  }
  return findings;
}

const deeds: Readonly<Record<Tampering["kind"], string>> = {
  hidden: "has been marked as deleted; the locked version is there, and `repair` brings it back",
  replaced: "has had something else put over it; the locked version is there, and `repair` brings it back",
  gone: "is not there any more, not even its locked version",
};

async function suspicion(
  { intact, pins, versions }: LockedView,
  point: CatalogPoint,
  options: CallOptions,
): Promise<string | undefined> {
  const { id, name, manifest, time } = point;
  const history = versions.get(name) ?? [];
  const received = firstReceipt(point, history);
  const subject = `The recovery point ${id} of ${manifest.source}`;
  if (time > received + tolerance)
    return `${subject} claims to be of ${manifest.time}, and the store received it before, on ${day(received)}`;
  // What is locked may have been hidden before, and brought back by a repair.
  const back = !pins.objects.has(name) && history.at(-1)?.marker === false && history.some(({ marker }) => marker);
  if (!back || !(await exists(intact.storage, `forgotten/${id}`, options))) return undefined;
  return `${subject} was forgotten, and somebody has put it there again`;
}

/** `2026-12-26 00:00 UTC`. */
export function day(time: number): string {
  return `${new Date(time).toISOString().slice(0, 16).replace("T", " ")} UTC`;
}
