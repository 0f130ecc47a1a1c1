/**
 * Rebuilding a primary repository from a replica. It is replication in the other direction, into a place that is no
 * repository until all of it is there: the object `format` comes last. What was copied before a cut is found by the next run.
 * What no run could read whole is fetched later, from any copy, into the repository that is there by then.
 */
import { isStillpointError, StillpointError } from "../errors.ts";
import { BlobStore } from "../repository/blobs/blob-store.ts";
import { isDamage } from "../repository/mark/mark.ts";
import { type Catalog, type CatalogPoint, listPoints } from "../repository/points/catalog.ts";
import { keepConfig, newestConfig } from "../repository/points/kept-configs.ts";
import { parsePointName, type RecoveryPoint } from "../repository/points/manifest.ts";
import { type Forgotten, getSmallObject, putSmallObject } from "../repository/points/small-objects.ts";
import { exists, type Repository } from "../repository/repository.ts";
import type { CallOptions, Storage } from "../storage/storage.ts";
import { planReplication } from "./plan.ts";
import { addKeys, formatOf, namesOf } from "./prepare-replica.ts";
import { replicate } from "./replicate.ts";
import type { ReplicationProgress, ReplicationReport } from "./replication-report.ts";
import { surveyPoints } from "./survey.ts";

export interface RecoverOptions extends CallOptions {
  /** Opened with its key alone. */
  readonly replica: Repository;
  /** The replica's. */
  readonly catalog: Catalog;
  /** Where the primary is to be, after `surveyPlace`. */
  readonly storage: Storage;
  readonly onProgress?: (progress: ReplicationProgress) => void;
}

type CopyReport = Pick<ReplicationReport, "replicated" | "failed" | "failedNotes" | "bytesRead">;

export interface RecoverReport extends CopyReport {
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
 * Copies every point of the replica, with its holds and tags, the keys and the newest configuration. What is damaged at the
 * replica is in the report, and the rest is recovered all the same.
 *
 * Throws what ends it early: a storage error, `damaged` (no index, or no key, that can be read), `cancelled`.
 */
export async function recoverPrimary(options: RecoverOptions): Promise<RecoverReport> {
  const { replica, catalog, storage, signal } = options;
  const primary = primaryOf(options);
  await addKeys(replica.storage, storage, await namesOf(storage, "keys/", { signal }), { signal });
  // Nobody sweeps what is no repository yet.
  const report = await copyPoints(options, Number.POSITIVE_INFINITY);
  const unknown = await explainGaps(options, catalog.points, report);
  const config = await newestConfig(replica, { signal });
  if (config !== undefined) await keepConfig(primary, config, { signal });
  await storage.put("format", [await replica.storage.get("format", undefined, { signal })], { signal });
  return { ...report, unknown };
}

/** What a primary that is there neither has nor knows to be forgotten, of the replica's points. Oldest first. Throws storage errors. */
export async function missingPoints(options: RecoverOptions): Promise<readonly CatalogPoint[]> {
  const { points } = options.catalog;
  const { signal } = options;
  const there = await surveyPoints(primaryOf(options), new Set(points.map(({ id }) => id)), { signal });
  return planReplication({ points, replica: there, wanted: () => true }).lacking;
}

/** Copies those points into a primary that is there, and may be in use. `grace` is that of its sweeps, in ms. Throws as `recoverPrimary`. */
export async function recoverMissing(options: RecoverOptions & { readonly grace: number }): Promise<RecoverReport> {
  const report = await copyPoints(options, options.grace);
  return { ...report, unknown: await explainGaps(options, report.replicated, report) };
}

function primaryOf({ replica, storage }: RecoverOptions): Repository {
  return { storage, clock: replica.clock, keys: replica.keys };
}

/**
 * Whoever keeps the replica may move blobs to new packs meanwhile, and delete the old ones: so it is done again with the index
 * as it is by then, while that helps.
 *
 * Throws what ends it early, and what could not be read for a reason that says nothing about the data: the replica doesn't answer,
 * or refuses. Counted as damage, that would leave out the newest points, which come last, of a replica that is whole.
 */
async function copyPoints(options: RecoverOptions, grace: number): Promise<CopyReport> {
  const { replica, catalog, signal, onProgress } = options;
  const replicated: CatalogPoint[] = [];
  let bytesRead = 0;
  for (let before = Number.POSITIVE_INFINITY; ; ) {
    const { ended, failed, failedNotes, blobs, ...copied } = await replicate({
      primary: await BlobStore.load(replica, { signal }),
      points: catalog.points,
      replica: primaryOf(options),
      wanted: () => () => true,
      grace,
      signal,
      ...(onProgress !== undefined && { onProgress }),
    });
    if (ended !== undefined) throw ended;
    replicated.push(...copied.replicated);
    bytesRead += copied.bytesRead;
    const failures = [...failed, ...failedNotes].map(({ error }) => error);
    // One huge point may outlast several sweeps; each time more of it is here.
    const moved = blobs > 0 && failures.some((error) => isStillpointError(error, "object_missing"));
    if (failures.length > 0 && (failures.length < before || moved)) {
      before = failures.length;
      continue;
    }
    const unread = failures.find((error) => !isDamage(error));
    if (unread !== undefined) throw unfinished(unread);
    return { replicated, failed, failedNotes, bytesRead };
  }
}

function unfinished({ code, parts }: StillpointError): StillpointError {
  return new StillpointError(code, {
    ...parts,
    safe: "What was recovered before stays, and isn't copied again.",
    next: [parts.next, "Run the same `stillpoint recover` again: it goes on where it was."].filter(Boolean).join(" "),
  });
}

/**
 * Each source's chain of manifests asks for points that were forgotten before, or that the replica's own rules never wanted. The
 * lost primary knew why they are gone; so that `check` doesn't take them for stolen ever after, a record says it here. What
 * the replica lists but can't read is no such gap: another copy may have it. Returns the ids that nothing is known of.
 */
async function explainGaps(
  options: RecoverOptions,
  points: readonly RecoveryPoint[],
  { failed }: CopyReport,
): Promise<string[]> {
  const { replica, catalog, signal } = options;
  const primary = primaryOf(options);
  // What was forgotten at the replica meanwhile is a gap, too.
  const here = await listPoints(primary.storage, { signal });
  const listed = [...here, ...catalog.damaged].map(({ name }) => parsePointName(name)?.id);
  const known = new Set([...listed, ...failed.map(({ point }) => point.id)]);
  const unknown: string[] = [];
  for (const { manifest } of points) {
    const { previous: digest, source, time: point_time } = manifest;
    const point = digest?.slice(0, 32);
    if (digest === null || point === undefined || known.has(point)) continue;
    known.add(point);
    const record = await forgottenAt(replica, point, { signal });
    if (record === undefined) unknown.push(point);
    if (await exists(primary.storage, `forgotten/${point}`, { signal })) continue;
    const time = new Date(primary.clock.now()).toISOString();
    const reason = "not at the replica from which this repository was recovered";
    await putSmallObject(
      primary,
      "forgotten",
      record ?? { version: 1, point, time, source, digest, point_time, reason },
      { signal },
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
