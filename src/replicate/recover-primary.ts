/**
 * Rebuilding a primary repository from a replica. It is replication in the other direction, into a place that is no
 * repository until all of it is there: the object `format` comes last. What was copied before a cut is found by the next run.
 */
import { isStillpointError, StillpointError } from "../errors.ts";
import { BlobStore } from "../repository/blobs/blob-store.ts";
import type { Catalog } from "../repository/points/catalog.ts";
import { keepConfig, newestConfig } from "../repository/points/kept-configs.ts";
import { parsePointName } from "../repository/points/manifest.ts";
import { type Forgotten, getSmallObject, putSmallObject } from "../repository/points/small-objects.ts";
import { exists, type Repository } from "../repository/repository.ts";
import type { CallOptions, Storage } from "../storage/storage.ts";
import { addKeys, formatOf, namesOf } from "./prepare-replica.ts";
import { replicate } from "./replicate.ts";
import type { ReplicationProgress, ReplicationReport } from "./replication-report.ts";

export interface RecoverOptions extends CallOptions {
  /** Opened with its key alone. */
  readonly replica: Repository;
  /** The replica's. */
  readonly catalog: Catalog;
  /** Where the primary is to be, after `surveyPlace`. */
  readonly storage: Storage;
  readonly onProgress?: (progress: ReplicationProgress) => void;
}

export interface RecoverReport extends Omit<ReplicationReport, "ended" | "backlog" | "there" | "vanished"> {
  /** Ids of points that later ones continue, and that the replica neither has nor knows to be forgotten. */
  readonly unknown: readonly string[];
}

/** `unfinished`: what an interrupted recovery has left; `there`: the repository, complete. */
export type PlaceState = "empty" | "unfinished" | "there";

/**
 * What is at a place where the primary is to be. Changes nothing.
 *
 * Throws `repository_exists` when anything but this repository is there, or a storage error.
 */
export async function surveyPlace(replica: Repository, storage: Storage, options: CallOptions): Promise<PlaceState> {
  const format = await formatOf(storage, options);
  const { repositoryId, keyCheck } = replica.keys;
  if (format?.repository === repositoryId && format.key_check === keyCheck) return "there";
  if (format !== undefined) throw occupied(storage, `another repository (${format.repository})`);
  const names = await namesOf(storage, "", options);
  if (names.size === 0) return "empty";
  // A recovery copies the keys before all else, so they tell whose work it is.
  for (const name of names) {
    if (!name.startsWith("keys/")) continue;
    const [here, there] = await Promise.all(
      [storage, replica.storage].map(async (one) => await read(one, name, options)),
    );
    if (here !== undefined && there !== undefined && here.equals(there)) return "unfinished";
  }
  throw occupied(storage, `${[...names].toSorted()[0] ?? ""} and no object \`format\``);
}

function occupied({ location }: Storage, what: string): StillpointError {
  return new StillpointError("repository_exists", {
    what: `Cannot recover the repository to ${location}: it holds ${what}`,
    safe: "Nothing was changed there.",
    next: "Move that away, or choose another folder with --to.",
  });
}

async function read(storage: Storage, name: string, options: CallOptions): Promise<Buffer | undefined> {
  try {
    return await storage.get(name, undefined, options);
  } catch (error) {
    if (isStillpointError(error, "object_missing")) return undefined;
    throw error;
  }
}

/**
 * Copies every point of the replica, with its holds and tags, the keys and the newest configuration. What the replica can't
 * give whole is in the report, and the rest is recovered all the same.
 *
 * Throws what ends it early: a storage error, `damaged` (no index, or no key, that can be read), `cancelled`.
 */
export async function recoverPrimary(options: RecoverOptions): Promise<RecoverReport> {
  const { replica, catalog, storage, signal, onProgress } = options;
  const primary: Repository = { storage, clock: replica.clock, keys: replica.keys };
  await addKeys(replica.storage, storage, await namesOf(storage, "keys/", { signal }), { signal });
  const {
    ended,
    backlog: _backlog,
    there: _there,
    vanished: _vanished,
    ...report
  } = await replicate({
    primary: await BlobStore.load(replica, { signal }),
    points: catalog.points,
    replica: primary,
    wanted: () => true,
    // Nobody sweeps what is no repository yet.
    grace: Number.POSITIVE_INFINITY,
    signal,
    ...(onProgress !== undefined && { onProgress }),
  });
  if (ended !== undefined) throw ended;
  const unknown = await explainGaps(replica, primary, catalog, { signal });
  const config = await newestConfig(replica, { signal });
  if (config !== undefined) await keepConfig(primary, config, { signal });
  await storage.put("format", [await replica.storage.get("format", undefined, { signal })], { signal });
  return { ...report, unknown };
}

/**
 * Each source's chain of manifests asks for points that were forgotten before, or that the replica's own rules never wanted. The
 * lost primary knew why they are gone; so that `check` doesn't take them for stolen ever after, a record says it here. What
 * the replica lists but can't read is no such gap: another replica may have it, and `repair` brings it.
 */
async function explainGaps(
  replica: Repository,
  primary: Repository,
  { points, damaged }: Catalog,
  options: CallOptions,
): Promise<string[]> {
  const known = new Set([...points.map(({ id }) => id), ...damaged.map(({ name }) => parsePointName(name)?.id)]);
  const unknown: string[] = [];
  for (const { manifest } of points) {
    const { previous: digest, source, time: point_time } = manifest;
    const point = digest?.slice(0, 32);
    if (digest === null || point === undefined || known.has(point)) continue;
    known.add(point);
    const record = await forgottenAt(replica, point, options);
    if (record === undefined) unknown.push(point);
    if (await exists(primary.storage, `forgotten/${point}`, options)) continue;
    const time = new Date(primary.clock.now()).toISOString();
    const reason = "not at the replica from which this repository was recovered";
    await putSmallObject(
      primary,
      "forgotten",
      record ?? { version: 1, point, time, source, digest, point_time, reason },
      options,
    );
  }
  return unknown;
}

async function forgottenAt(replica: Repository, point: string, options: CallOptions): Promise<Forgotten | undefined> {
  try {
    return await getSmallObject(replica, "forgotten", `forgotten/${point}`, options);
  } catch (error) {
    if (isStillpointError(error, "object_missing") || isStillpointError(error, "damaged")) return undefined;
    throw error;
  }
}
