/** Opening what a configuration names: the primary repository, and its replicas. */
import * as path from "node:path";
import * as z from "zod";
import { isStillpointError, StillpointError } from "../errors.ts";
import { systemClock, type Clock } from "../host/clock.ts";
import { nodeFiles } from "../host/node-files.ts";
import type { Config, Policy, Replica } from "../policy/config.ts";
import { findNamed } from "../policy/find-named.ts";
import { prepareReplica } from "../replicate/prepare-replica.ts";
import { CatalogMemory } from "../repository/points/catalog-memory.ts";
import { openRepository, type Repository } from "../repository/repository.ts";
import { placeOf } from "../storage/place-of.ts";
import { createStorage, openStorage, type OpenStorageOptions } from "../storage/open.ts";
import type { CallOptions, Storage, StorageAddress } from "../storage/storage.ts";
import type { StorageObserver } from "../storage/wrappers/observe.ts";
import type { Lines } from "./lines.ts";
import { readSecret, type SecretSources } from "./read-secret.ts";
import { StateFolder } from "./state-folder.ts";

/** The name of the primary repository among the locations; no replica may have it. */
export const primaryName = "primary";

export interface Location {
  /** `primary`, or the replica's name. */
  readonly name: string;
  readonly repository: Repository;
}

export interface LocationOptions extends CallOptions, SecretSources {
  readonly clock?: Clock | undefined;
  readonly readOnly?: boolean | undefined;
  readonly observer?: StorageObserver | undefined;
  readonly moved?: OpenStorageOptions["moved"];
  /** How fast replicas may be used; as fast as it goes by default. */
  readonly lines?: Lines | undefined;
  /** `openStorage` by default. */
  readonly open?: ((address: StorageAddress, options: OpenStorageOptions) => Storage) | undefined;
}

export function addressOfPrimary(config: Config): StorageAddress {
  return { kind: "fs", location: primaryName, path: config.repository.path };
}

export function addressOfReplica(replica: Replica): StorageAddress {
  return { ...replica.place, location: replica.name };
}

/** Where this host forgets what the policy doesn't keep: not where it may only add. */
export function prunedLocations({ replicate }: Pick<Policy, "replicate">): string[] {
  return [primaryName, ...replicate.filter(({ replica }) => !replica.appendOnly).map(({ replica }) => replica.name)];
}

/** Where this host frees space: not where it may only add. */
export function sweptLocations({ replicas }: Pick<Config, "replicas">): string[] {
  return [primaryName, ...replicas.filter(({ appendOnly }) => !appendOnly).map(({ name }) => name)];
}

/** Where a location is, for people and for comparison. Throws `not_found`. */
export function placeAt(config: Config, name: string): string {
  return placeOf(name === primaryName ? addressOfPrimary(config) : addressOfReplica(replicaNamed(config, name)));
}

/** The replica of that name. Throws `not_found`. */
export function replicaNamed(config: Config, name: string): Replica {
  return findNamed(config.replicas, name, "replica");
}

/** Throws `not_found` for what is neither `primary` nor a replica's name. */
export function requireLocation({ replicas }: Pick<Config, "replicas">, name: string): void {
  findNamed([{ name: primaryName }, ...replicas], name, "location");
}

/** Throws `key_unreadable`, `key_wrong`, `repository_missing`, `format_unsupported`, `damaged`, or a storage error. */
export async function openPrimary(config: Config, options: LocationOptions = {}): Promise<Location> {
  try {
    return await open(config, addressOfPrimary(config), options);
  } catch (error) {
    if (config.replicas.length === 0 || !isStillpointError(error, "storage_unreachable")) throw error;
    const { what, next = "", ...rest } = error.parts;
    throw new StillpointError(error.code, {
      ...rest,
      what,
      next: `${next} If it is lost, \`stillpoint recover\` rebuilds it from a replica (docs/disaster.md).`.trim(),
      cause: error,
    });
  }
}

/**
 * Opens a replica for itself, with the key alone: the primary may be gone. Never makes one.
 *
 * Throws as `openPrimary` does, and `not_found`.
 */
async function openReplica(config: Config, name: string, options: LocationOptions = {}): Promise<Location> {
  return await open(config, addressOfReplica(replicaNamed(config, name)), options);
}

/** `openPrimary` or `openReplica`, by the location's name. */
export async function openLocation(config: Config, name: string, options: LocationOptions = {}): Promise<Location> {
  requireLocation(config, name);
  return name === primaryName ? await openPrimary(config, options) : await openReplica(config, name, options);
}

const seenReplica = z.object({ path: z.string(), repository: z.string() });

/**
 * Opens a replica of an opened primary, to replicate to it; makes it when this host has never seen one at that path, and
 * the folder above it is there, and opens it with the key alone. What was seen once and is gone is an error, never made anew: a disk that isn't mounted
 * must not look like a new replica (docs/decisions/0030-making-replicas.md).
 *
 * Throws `not_found`, `storage_unreachable`, `repository_missing`, `repository_exists` (another one is there), `key_unreadable`,
 * `key_wrong` or `damaged` (a new one that doesn't open), or a storage error.
 */
export async function connectReplica(
  config: Config,
  primary: Location,
  name: string,
  options: LocationOptions = {},
): Promise<Location> {
  const replica = replicaNamed(config, name);
  const address = addressOfReplica(replica);
  const state = new StateFolder(config.repository.state, options.files);
  const seen = await state.read(`replicas/${name}.json`, seenReplica);
  const here = { path: placeOf(address), repository: primary.repository.keys.repositoryId };
  const create = seen?.path !== here.path || seen.repository !== here.repository;
  if (create) await makeRoot(replica, options);
  const storage = storageAt(address, options);
  const { signal } = options;
  // A bucket that doesn't lock, where locks are asked for, isn't the replica that the configuration means.
  await storage.locks?.require({ signal });
  const repository = await prepareReplica({ primary: primary.repository, storage, address, create, signal });
  if (create) {
    await proveItOpens(config, storage, options);
    await state.write(`replicas/${name}.json`, here);
  }
  return { name, repository: remembering(config, name, repository, options) };
}

/** A replica is worth what opens when the primary is gone: so it is opened once as it would be then, with the key alone. */
async function proveItOpens({ repository }: Config, storage: Storage, options: LocationOptions): Promise<void> {
  const { clock = systemClock, signal } = options;
  const secret = await readSecret(repository.key, options);
  try {
    await openRepository({ storage, clock, secret, signal });
  } catch (error) {
    if (!isStillpointError(error, "key_wrong") && !isStillpointError(error, "damaged")) throw error;
    throw new StillpointError(error.code, {
      what: `The replica ${storage.location} doesn't open with the key of the configuration: ${error.parts.what}`,
      safe: "The primary is as it was; nothing is replicated there before it opens.",
      next: "See whether the place stores what is written to it; then take what is damaged out of its folder `keys`, and try again.",
      cause: error,
    });
  }
}

async function open(config: Config, address: StorageAddress, options: LocationOptions): Promise<Location> {
  const { clock = systemClock, signal } = options;
  const secret = await readSecret(config.repository.key, options);
  const storage = storageAt(address, options);
  const repository = await openRepository({ storage, clock, secret, address, signal });
  return { name: address.location, repository: remembering(config, address.location, repository, options) };
}

/** The repository, with what this host remembers of its points, and how fast it may be used. */
function remembering(config: Config, name: string, repository: Repository, options: LocationOptions): Repository {
  const state = new StateFolder(config.repository.state, options.files);
  return {
    ...repository,
    limited: name !== primaryName && options.lines !== undefined,
    memory: new CatalogMemory(
      state.memoryOf(name, repository.address === undefined ? "" : placeOf(repository.address)),
      repository.keys,
    ),
  };
}

function storageAt(address: StorageAddress, options: LocationOptions): Storage {
  const { clock = systemClock, readOnly, observer, moved, lines, open: openAt = openStorage } = options;
  const bandwidth = address.location === primaryName ? undefined : lines?.meterOf(address.location, clock);
  return openAt(address, { clock, readOnly, observer, moved, bandwidth });
}

/** Of a folder only the last part of the path: a parent that lacks is a disk or share that isn't mounted. */
async function makeRoot(replica: Replica, options: LocationOptions): Promise<void> {
  if (replica.place.kind === "fs") await requireParent(replica.name, replica.place.path, options);
  await createStorage(addressOfReplica(replica));
}

async function requireParent(name: string, folder: string, options: LocationOptions): Promise<void> {
  const parent = path.dirname(folder);
  const found = await (options.files ?? nodeFiles).stat(parent).catch(() => undefined);
  if (found?.kind !== "folder") {
    throw new StillpointError("storage_unreachable", {
      what: `Cannot make the replica ${name} in ${folder}: there is no folder ${parent}`,
      safe: "Nothing was made in its place.",
      next: "Mount the disk or share that belongs there, or make the folder.",
    });
  }
}
