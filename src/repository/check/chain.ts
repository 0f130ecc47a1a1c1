/** Points that are missing: named by later ones or by a sweep's record, or remembered by this host, and not forgotten. */
import type { CallOptions } from "../../storage/storage.ts";
import { vanishedPoints } from "../points/catalog.ts";
import type { Diagnosis } from "./diagnose.ts";
import type { Finding } from "./findings.ts";
import { parsePointName } from "../points/manifest.ts";
import { isDamage } from "../mark/mark.ts";
import type { Repository } from "../repository.ts";
import { getSmallObject } from "../points/small-objects.ts";

export interface ChainOptions extends CallOptions {
  readonly replica: boolean;
}

export async function findChainGaps(
  repository: Repository,
  { catalog, store, damaged }: Diagnosis,
  { replica, signal }: ChainOptions,
): Promise<Finding[]> {
  const known = new Set([...catalog.points, ...damagedPoints(damaged)].map(({ id }) => id));
  const isExplained = async (id: string): Promise<boolean> =>
    known.has(id) || (await isForgotten(repository, id, { signal }));
  const gaps: Finding[] = [];
  for (const { manifest, name, id } of replica ? [] : catalog.points) {
    // A point's id is the beginning of its digest.
    const previous = manifest.previous?.slice(0, 32);
    if (previous === undefined || (await isExplained(previous))) continue;
    known.add(previous);
    const message = `The recovery point ${previous} of ${manifest.source}, which came before ${id}, is missing, and no record says that it was forgotten`;
    gaps.push({ kind: "chain", object: name, message, affected: [], missing: previous });
  }
  for (const [name, record] of store.sweeps) {
    for (const id of record.points) {
      if (await isExplained(id)) continue;
      known.add(id);
      const message = `The recovery point ${id}, which a sweep saw, is missing, and no record says that it was forgotten`;
      gaps.push({ kind: "chain", object: name, message, affected: [], missing: id });
    }
  }
  const stored = new Set([...catalog.points, ...damaged].map(({ name }) => name));
  for (const { id, name, manifest } of await vanishedPoints(repository, stored, { signal })) {
    if (known.has(id)) continue;
    const message = `The recovery point ${id} of ${manifest.source}, which this host has seen here, is missing, and no record says that it was forgotten`;
    gaps.push({ kind: "chain", object: name, message, affected: [], missing: id });
  }
  return gaps;
}

function damagedPoints(damaged: Diagnosis["damaged"]): { readonly id: string }[] {
  return damaged.flatMap(({ name }) => parsePointName(name) ?? []);
}

/** A record that can't be read still says that there was one: it is a finding of its own. */
async function isForgotten(repository: Repository, id: string, options: CallOptions): Promise<boolean> {
  try {
    await getSmallObject(repository, "forgotten", `forgotten/${id}`, options);
    return true;
  } catch (error) {
    if (!isDamage(error)) throw error;
    return error.code !== "object_missing";
  }
}
