/** What a capture's manifest says, and on which earlier point a capture may rely. */
import { release } from "node:os";
import { StillpointError } from "../errors.ts";
import type { BlobStore } from "../repository/blobs/blob-store.ts";
import type { WriteStatistics } from "../repository/blobs/blob-writer.ts";
import type { CatalogPoint } from "../repository/points/catalog.ts";
import type { Consistency, Manifest, RecoveryPoint } from "../repository/points/manifest.ts";
import type { Repository } from "../repository/repository.ts";
import type { CallOptions } from "../storage/storage.ts";
import type { Captured } from "./capture.ts";

/** A point on which a capture may rely, with its newest proof. */
export type EarlierPoint = RecoveryPoint & { readonly proof: CatalogPoint["proof"] | "unread" };

/**
 * Whether blobs that the point reaches may be taken over unseen: none is lost, and none condemned. A repair takes what is lost out of
 * the index; then the point's proof says that it isn't whole. One that can't be read might say so, too.
 */
export function isReliable(store: BlobStore, { id, proof }: Pick<EarlierPoint, "id" | "proof">): boolean {
  return store.lost.size === 0 && store.mayRelyOn(id) && proof !== "unread" && proof?.result !== "failed";
}

/** Where and by whom a source is captured. */
export interface Surroundings {
  readonly repository: Repository;
  readonly policy: string;
  /** The name of this host. */
  readonly host: string;
  /** Of Stillpoint. */
  readonly version: string;
}

/** On what a capture relies. */
export interface Relying extends CallOptions {
  readonly store: BlobStore;
  /** The grace period of this machine's sweeps, in ms; of others at the repository, their records say it. */
  readonly grace: number;
}

export interface Circumstances {
  readonly source: { readonly name: string; readonly kind: Manifest["kind"]; readonly tags: readonly string[] };
  readonly consistency: Consistency;
  readonly started: number;
  readonly previous: string | null;
  readonly group?: Manifest["group"];
}

export function describeCapture(
  surroundings: Surroundings,
  captured: Captured,
  written: WriteStatistics,
  circumstances: Circumstances,
): Manifest {
  const { repository } = surroundings;
  const { source, group } = circumstances;
  return {
    version: 1,
    repository: repository.keys.repositoryId,
    source: source.name,
    policy: surroundings.policy,
    host: surroundings.host,
    kind: source.kind,
    time: isoTime(captured.instant),
    started: isoTime(circumstances.started),
    finished: isoTime(repository.clock.now()),
    consistency: circumstances.consistency,
    parts: [...captured.parts],
    previous: circumstances.previous,
    tags: [...source.tags],
    statistics: { size: captured.size, read: captured.read, new: written.newBytes, stored: written.storedBytes },
    left_out: [...captured.leftOut],
    left_out_count: captured.leftOutCount,
    software: { stillpoint: surroundings.version, node: process.versions.node, kernel: release() },
    ...(group && { group }),
    ...(captured.machine && { machine: captured.machine }),
  };
}

function isoTime(ms: number): string {
  return new Date(ms).toISOString();
}

export function newestOf<T extends RecoveryPoint>(points: readonly T[], source: string): T | undefined {
  const own = points.filter((point) => point.manifest.source === source);
  return own.reduce<T | undefined>(
    (newest, point) => (newest === undefined || point.time >= newest.time ? point : newest),
    undefined,
  );
}

/** Throws `capture_too_old` when a sweep may have come to a conclusion since the store was loaded, `damaged`, or a storage error. */
export async function refuseOld(source: string, { store, grace, signal }: Relying): Promise<void> {
  const longest = await store.longestReliance(grace, { signal });
  const { age } = store;
  if (age <= longest) return;
  throw new StillpointError("capture_too_old", {
    what: `Cannot commit the recovery point of ${source}: it came ${minutes(age)} after the look at what is stored, longer than the ${minutes(longest)} that sweeps allow for`,
    safe: "Earlier recovery points are untouched; what was read is stored, so that the next capture is faster.",
    next: "If captures are that slow for good, lengthen `maintenance.grace` on every machine that sweeps there.",
  });
}

function minutes(ms: number): string {
  return `${String(Math.round(ms / 60_000))} min`;
}
