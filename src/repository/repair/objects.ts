/** Damaged objects of one body, and manifests that are missing: what becomes of each. */
import type { StillpointError } from "../../errors.ts";
import type { CallOptions } from "../../storage/storage.ts";
import type { Damage } from "../points/unreadable.ts";
import type { Finding } from "../check/findings.ts";
import { damagedObject } from "../format.ts";
import { parseKeyObject } from "../keys/key-objects.ts";
import { openManifest } from "../points/manifest.ts";
import { fetchObject, type Replica } from "./sources.ts";
import type { Repository } from "../repository.ts";
import { getSmallObject, putSmallObject, type SmallFolder } from "../points/small-objects.ts";

/**
 * `uncover`: its locked version is put over what was done to it; `restore`: a replica has it whole; `remove`: nobody needs it;
 * `renew`: a hold, made anew; `lost`: it stays as it is.
 */
export interface ObjectAction {
  readonly name: string;
  readonly action: "uncover" | "restore" | "remove" | "renew" | "lost";
  /** Where a whole one is. */
  readonly from?: string;
}

/** Index objects aren't among these: they are made anew from the packs. Throws a storage error. */
export async function planObjects(
  repository: Repository,
  damaged: readonly Damage[],
  gaps: readonly Finding[],
  replicas: readonly Replica[],
  options: CallOptions,
): Promise<ObjectAction[]> {
  const actions: ObjectAction[] = [];
  const known = damaged.filter(({ name }) => !name.startsWith("index/"));
  const missing = (await missingManifests(gaps, replicas, options)).map((name) => ({ name, error: undefined }));
  for (const { name, error } of [...known, ...missing]) {
    const replica = await firstWith(repository, replicas, name, options);
    actions.push(
      replica === undefined
        ? { name, action: without(name, error) }
        : { name, action: "restore", from: replica.location },
    );
  }
  return actions;
}

/** Throws a storage error. */
export async function executeObjects(
  repository: Repository,
  actions: readonly ObjectAction[],
  replicas: readonly Replica[],
  options: CallOptions,
): Promise<void> {
  const { storage } = repository;
  for (const { name, action, from } of actions) {
    if (action === "restore") {
      const one = replicas.filter(({ location }) => location === from);
      const data = await fetchObject(one, name, async (whole) => await openAs(repository, name, whole), options);
      if (data !== undefined) await storage.put(name, [data], options);
    } else if (action === "remove") await storage.delete(name, options);
    else if (action === "renew") await renewHold(repository, name, options);
  }
}

/** What is done with an object that no replica has. */
function without(name: string, error: StillpointError | undefined): ObjectAction["action"] {
  const folder = name.split("/")[0] ?? "";
  // A record that can't be read leads to no deletion, but keeps captures from going on; packs that it named are named again by the
  // next sweep.
  if (folder === "sweeps") return "remove";
  // Where the storage failed, it may be whole, and nothing else says what it says.
  if (error?.code === "storage_failed") return "lost";
  // The next job stores the configuration in force again where it is no longer the newest.
  if (["tags", "readers", "proofs", "config", "lease"].includes(folder)) return "remove";
  return folder === "holds" ? "renew" : "lost";
}

/** That it is there says that its point is held; only the reason is lost. */
async function renewHold(repository: Repository, name: string, options: CallOptions): Promise<void> {
  const point = name.split("/")[1] ?? "";
  const time = new Date(repository.clock.now()).toISOString();
  await putSmallObject(
    repository,
    "holds",
    { version: 1, point, time, reason: "held; the reason was damaged" },
    options,
  );
}

async function firstWith(
  repository: Repository,
  replicas: readonly Replica[],
  name: string,
  options: CallOptions,
): Promise<Replica | undefined> {
  for (const replica of replicas) {
    const data = await fetchObject([replica], name, async (whole) => await openAs(repository, name, whole), options);
    if (data !== undefined) return replica;
  }
  return undefined;
}

/** Throws `damaged` unless the bytes are a whole object of that name. */
async function openAs(repository: Repository, name: string, data: Buffer): Promise<void> {
  const { keys } = repository;
  const folder = name.split("/")[0] ?? "";
  if (folder === "points") openManifest(keys, name, data);
  else if (folder === "keys") parseKeyObject(data, name);
  else if (folder === "format") {
    if (!data.includes(keys.keyCheck)) throw damagedObject(name, "it belongs to another repository");
  } else if (folder === "lease") throw damagedObject(name, "a lease isn't copied");
  else {
    const storage = { ...repository.storage, get: async () => await Promise.resolve(data) };
    await getSmallObject({ ...repository, storage }, folder as SmallFolder, name);
  }
}

/** Names, at the replicas, of the points that are missing here. */
async function missingManifests(
  gaps: readonly Finding[],
  replicas: readonly Replica[],
  options: CallOptions,
): Promise<string[]> {
  const ids = new Set(gaps.flatMap(({ missing }) => missing ?? []));
  const names = new Set<string>();
  if (ids.size === 0) return [];
  for (const { repository } of replicas) {
    for await (const { name } of repository.storage.list("points/", options)) {
      if (ids.has(name.slice(-32))) names.add(name);
    }
  }
  return [...names];
}
