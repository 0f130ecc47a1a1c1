/** Making and opening a repository (docs/format.md sections 3 and 4). */
import * as z from "zod";
import { isStillpointError, StillpointError } from "../errors.ts";
import type { Clock } from "../host/clock.ts";
import { randomBytes } from "../host/random.ts";
import type { CallOptions, ObjectInfo, Storage, StorageAddress } from "../storage/storage.ts";
import type { CatalogMemory } from "./points/catalog-memory.ts";
import { isFar } from "../storage/is-far.ts";
import { withFirstKeys } from "./locks/with-versions.ts";
import { damagedObject, formatVersion, requireLength, suiteNumber } from "./format.ts";
import {
  type KeyObject,
  type NewKey,
  parseKeyObject,
  type Secret,
  unwrapMasterKey,
  wrapMasterKey,
} from "./keys/key-objects.ts";
import { KeyRing } from "./keys/key-ring.ts";

/** An opened repository: where it is, its keys, and the time. */
export interface Repository {
  readonly storage: Storage;
  readonly keys: KeyRing;
  readonly clock: Clock;
  /** Where it is: threads open a folder for themselves, which is faster than to ask this storage. */
  readonly address?: StorageAddress | undefined;
  /** Whether `storage` keeps to a limit, so that threads must not get around it. */
  readonly limited?: boolean | undefined;
  /** What this host remembers of the repository's points; without it they are read anew each time. */
  readonly memory?: CatalogMemory | undefined;
}

const formatSchema = z.object({
  format: z.literal("stillpoint"),
  version: z.int(),
  suite: z.int(),
  repository: z.string().regex(/^[0-9a-f]{32}$/),
  created: z.string(),
  key_check: z.string().regex(/^[0-9a-f]{64}$/),
});
export type Format = Readonly<z.infer<typeof formatSchema>>;

export interface CreateOptions {
  readonly storage: Storage;
  readonly clock: Clock;
  readonly key: NewKey;
  readonly label: string;
  readonly address?: StorageAddress;
}

/** Makes a repository with one key. Throws `repository_exists`, or a storage error. */
export async function createRepository(options: CreateOptions): Promise<Repository> {
  const { storage, clock } = options;
  if (await exists(storage, "format")) {
    throw new StillpointError("repository_exists", {
      what: `Cannot make a repository at ${storage.location}: there is one already`,
      safe: "Nothing was changed.",
    });
  }
  const repositoryId = randomBytes(16);
  const masterKey = randomBytes(32);
  const keys = new KeyRing({ masterKey, repositoryId });
  const created = new Date(clock.now()).toISOString();
  await putKey(storage, await wrapMasterKey(masterKey, options.key, { label: options.label, created, repositoryId }));
  const format: Format = {
    format: "stillpoint",
    version: formatVersion,
    suite: suiteNumber,
    repository: keys.repositoryId,
    created,
    key_check: keys.keyCheck,
  };
  await storage.put("format", [Buffer.from(`${JSON.stringify(format)}\n`)]);
  return { storage, clock, keys, address: options.address };
}

export interface OpenOptions extends CallOptions {
  readonly storage: Storage;
  readonly clock: Clock;
  readonly secret: Secret;
  readonly address?: StorageAddress;
}

/**
 * Opens a repository. Where objects are locked, nobody can keep it from opening by what he puts over `format` and the keys.
 *
 * Throws `repository_missing`, `format_unsupported`, `key_wrong`, `damaged`, or a storage error.
 */
export async function openRepository(options: OpenOptions): Promise<Repository> {
  const { storage, signal } = options;
  const { locks } = storage;
  try {
    return await open(options);
  } catch (error) {
    const tampered = ["repository_missing", "format_unsupported", "key_wrong", "damaged"] as const;
    if (locks === undefined || !tampered.some((code) => isStillpointError(error, code))) throw error;
    const { keys } = await open({ ...options, storage: await withFirstKeys(storage, locks, { signal }) });
    return { storage, clock: options.clock, keys, address: options.address };
  }
}

async function open(options: OpenOptions): Promise<Repository> {
  const { storage, clock, secret, address, signal } = options;
  const format = await readFormat(storage, { far: isFar(address), signal });
  const repositoryId = Buffer.from(format.repository, "hex");
  let damage: StillpointError | undefined;
  for await (const object of storage.list("keys/", { signal })) {
    const key = await readKey(storage, object, { signal });
    if (key instanceof StillpointError) damage ??= key;
    const masterKey =
      key === undefined || key instanceof StillpointError
        ? undefined
        : await unwrapMasterKey(key, secret, repositoryId);
    if (masterKey === undefined) continue;
    const keys = new KeyRing({ masterKey, repositoryId });
    if (keys.keyCheck === format.key_check) return { storage, clock, keys, address };
  }
  // It may have been the one: then "wrong key" would send someone looking for another key file.
  if (damage !== undefined) throw damage;
  throw new StillpointError("key_wrong", {
    what: `Cannot open the repository at ${storage.location}: none of its keys opens with the ${secret.type} given`,
    safe: "Nothing was changed.",
    next: "Check which key file, passphrase or identity belongs to it.",
  });
}

/** Of `format`, and of a key: they take some hundred. In bytes. */
const longestPlain = 64 * 1024;

/** A key; the damage that keeps it from being one, since another may open all the same; undefined when it was removed meanwhile. */
async function readKey(
  storage: Storage,
  { name, size }: ObjectInfo,
  options: CallOptions,
): Promise<KeyObject | StillpointError | undefined> {
  try {
    requireLength({ name, size }, longestPlain);
    return parseKeyObject(await storage.get(name, undefined, options), name);
  } catch (error) {
    if (isStillpointError(error, "object_missing")) return undefined;
    if (isStillpointError(error, "damaged")) return error;
    throw error;
  }
}

export interface FormatOptions extends CallOptions {
  /** Whether a round trip takes longer than it takes to read what turns out to be too long, as far as it comes in that time. */
  readonly far?: boolean;
}

/** The `format` object. Throws `repository_missing`, `format_unsupported`, `damaged`, or a storage error. */
export async function readFormat(storage: Storage, options?: FormatOptions): Promise<Format> {
  const data = await getFormat(storage, options).catch((error: unknown) => {
    if (!isStillpointError(error, "object_missing")) throw error;
    throw new StillpointError("repository_missing", {
      what: `There is no repository at ${storage.location}`,
      safe: "Nothing was changed.",
      next: "Check the place, or make one with `stillpoint init`.",
    });
  });
  let format: Format;
  try {
    format = formatSchema.parse(JSON.parse(data.toString()));
  } catch (error) {
    throw damagedObject("format", "it isn't of a known form", error);
  }
  if (format.version === formatVersion && format.suite === suiteNumber) return format;
  throw new StillpointError("format_unsupported", {
    what: `Cannot open the repository at ${storage.location}: its format is version ${String(format.version)}, suite ${String(format.suite)}; this Stillpoint knows version ${String(formatVersion)}, suite ${String(suiteNumber)}`,
    safe: "Nothing was changed.",
    next: "Use the Stillpoint that made it, or a newer one.",
  });
}

async function getFormat(storage: Storage, { far = false, signal }: FormatOptions = {}): Promise<Buffer> {
  const tooLong = new AbortController();
  const read = async (): Promise<Buffer> =>
    await storage.get("format", undefined, {
      signal: signal === undefined ? tooLong.signal : AbortSignal.any([signal, tooLong.signal]),
    });
  const reading = far ? read() : undefined;
  reading?.catch(() => undefined); // Seen below, unless it has no right length.
  try {
    requireLength(await storage.stat("format", { signal }), longestPlain);
  } catch (error) {
    tooLong.abort();
    throw error;
  }
  return await (reading ?? read());
}

/** Whether an object exists. Throws storage errors other than its absence. */
export async function exists(storage: Storage, name: string, options?: CallOptions): Promise<boolean> {
  try {
    await storage.stat(name, options);
    return true;
  } catch (error) {
    if (isStillpointError(error, "object_missing")) return false;
    throw error;
  }
}

/** Stores a key object under a new name; returns the key id. */
async function putKey(storage: Storage, data: Buffer): Promise<string> {
  const id = randomBytes(8).toString("hex");
  await storage.put(`keys/${id}`, [data]);
  return id;
}

/** Wraps the master key of an opened repository once more. Returns the new key's id. */
export async function addKey(repository: Repository, key: NewKey, label: string): Promise<string> {
  const { masterKey, repositoryId } = repository.keys.options;
  const created = new Date(repository.clock.now()).toISOString();
  const data = await wrapMasterKey(Buffer.from(masterKey), key, { label, created, repositoryId });
  return await putKey(repository.storage, data);
}

/** A key of a repository, without its secret. */
export interface KeyDescription {
  readonly id: string;
  readonly type: NewKey["type"];
  readonly label: string;
  readonly created: string;
}

export async function listKeys(storage: Storage, options?: CallOptions): Promise<KeyDescription[]> {
  const keys: KeyDescription[] = [];
  for await (const { name } of storage.list("keys/", options)) {
    const { type, label, created } = parseKeyObject(await storage.get(name, undefined, options), name);
    keys.push({ id: name.slice("keys/".length), type, label, created });
  }
  return keys.toSorted((a, b) => a.created.localeCompare(b.created) || a.id.localeCompare(b.id));
}

/** Removes a key. Throws `not_found`, and `usage` when it is the last one: the repository could never be opened again. */
export async function removeKey(storage: Storage, id: string): Promise<void> {
  const keys = await listKeys(storage);
  if (!keys.some((key) => key.id === id)) {
    throw new StillpointError("not_found", { what: `There is no key ${id}`, safe: "Nothing was changed." });
  }
  if (keys.length === 1) {
    throw new StillpointError("usage", {
      what: `Cannot remove the key ${id}: it is the last one, and without it the repository could never be opened again`,
      safe: "Nothing was changed.",
      next: "Add another key first: `stillpoint key add`.",
    });
  }
  await storage.delete(`keys/${id}`);
}
