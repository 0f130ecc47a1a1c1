/** Making a storage the replica of a repository, and giving it the keys that the primary has. */
import { isStillpointError, StillpointError } from "../errors.ts";
import { parseKeyObject } from "../repository/keys/key-objects.ts";
import { type Format, type FormatOptions, readFormat, type Repository } from "../repository/repository.ts";
import { isFar } from "../storage/is-far.ts";
import type { CallOptions, Storage, StorageAddress } from "../storage/storage.ts";

export interface PrepareReplicaOptions extends CallOptions {
  readonly primary: Repository;
  /** Where the replica is, or is to be. Its root (folder, bucket) must be there: see `createStorage`. */
  readonly storage: Storage;
  readonly address?: StorageAddress;
  /** Whether an empty storage may become a replica. Without it, an emptied replica is an error and not made anew in silence. */
  readonly create: boolean;
}

/**
 * Opens the replica of a repository; first makes it, if it isn't there and may be made. Keys that were added to the primary
 * are added here; one that was removed there is removed here by `stillpoint key remove --location` alone.
 *
 * A new replica gets the keys before `format`: once it is a repository, it can be opened.
 *
 * Throws `repository_missing` (empty, and not to be made), `repository_exists` (another repository is there; nothing was
 * touched), `damaged` (objects without a `format`, or no key to copy), or a storage error.
 */
export async function prepareReplica(options: PrepareReplicaOptions): Promise<Repository> {
  const { primary, storage, address, signal } = options;
  const [existing, keys] = await Promise.all([
    formatOf(storage, { far: isFar(address), signal }),
    namesOf(storage, "keys/", { signal }),
  ]);
  if (existing === undefined) await checkMayCreate(options);
  else checkSame(primary, storage, existing);
  await addKeys(primary.storage, storage, keys, { signal });
  if (existing === undefined)
    await storage.put("format", [await primary.storage.get("format", undefined, { signal })], { signal });
  return { storage, clock: primary.clock, keys: primary.keys, address };
}

/** Undefined where there is no repository. Throws `format_unsupported`, `damaged`, or a storage error. */
export async function formatOf(storage: Storage, options: FormatOptions): Promise<Format | undefined> {
  try {
    return await readFormat(storage, options);
  } catch (error) {
    if (isStillpointError(error, "repository_missing")) return undefined;
    throw error;
  }
}

async function checkMayCreate({ storage, create, signal }: PrepareReplicaOptions): Promise<void> {
  for await (const { name } of storage.list("", { signal })) {
    // Keys alone are what an interrupted first preparation left.
    if (name.startsWith("keys/")) continue;
    throw new StillpointError("damaged", {
      what: `Cannot use ${storage.location} as a replica: it holds ${name} but no object \`format\``,
      safe: "Nothing was changed.",
      next:
        storage.locks === undefined
          ? "If it is a replica of this repository, copy the file `format` of the primary to it; else choose an empty place."
          : `If it is a replica of this repository, \`stillpoint repair --location ${storage.location}\` brings back what is locked.`,
    });
  }
  if (create) return;
  throw new StillpointError("repository_missing", {
    what: `Cannot replicate to ${storage.location}: it was a replica before, and is empty now`,
    safe: "Nothing was made anew in its place.",
    next:
      storage.locks === undefined
        ? "See that the right disk, share or bucket is attached; if the replica is lost, make a new one with `stillpoint init`."
        : `Somebody may have hidden it: \`stillpoint check --location ${storage.location}\` tells, \`stillpoint repair\` brings back what is locked.`,
  });
}

function checkSame(primary: Repository, storage: Storage, format: Format): void {
  const { repositoryId, keyCheck } = primary.keys;
  if (format.repository === repositoryId && format.key_check === keyCheck) return;
  const which = format.repository === repositoryId ? "a repository with another master key" : "another repository";
  throw new StillpointError("repository_exists", {
    what: `Cannot replicate to ${storage.location}: it holds ${which} (${format.repository}; the primary is ${repositoryId})`,
    safe: "Nothing was changed there.",
    next: "Give each repository a place of its own.",
  });
}

/**
 * Keys are added, never removed: nothing vouches for a key object but the secret that opens it, so what lacks at the primary may
 * have been removed on purpose, or have been taken away by someone who wants the replica locked for ever. For the same reason
 * nothing that isn't a key is copied. `there` are the replica's, by name. Throws `damaged` when that leaves a new replica without any.
 */
export async function addKeys(
  primary: Storage,
  replica: Storage,
  there: ReadonlySet<string>,
  options: CallOptions,
): Promise<void> {
  const here = await namesOf(primary, "keys/", options);
  let damage: StillpointError | undefined;
  let count = there.size;
  for (const name of here.difference(there)) {
    const data = await primary.get(name, undefined, options);
    try {
      parseKeyObject(data, name);
    } catch (error) {
      if (!isStillpointError(error, "damaged")) throw error;
      damage ??= error;
      continue;
    }
    await replica.put(name, [data], options);
    count += 1;
  }
  if (count === 0 && damage !== undefined) throw damage;
}

/** Throws a storage error. */
export async function namesOf(storage: Storage, prefix: string, options: CallOptions): Promise<Set<string>> {
  const names = new Set<string>();
  for await (const { name } of storage.list(prefix, options)) names.add(name);
  return names;
}
