/** The configurations that a host ran by, kept with its recovery points so that they outlive it (docs/format.md section 10). */
import { isStillpointError } from "../../errors.ts";
import type { CallOptions, ObjectInfo } from "../../storage/storage.ts";
import { longestSmallObject, requireLength } from "../format.ts";
import type { Repository } from "../repository.ts";
import { getSmallObject, type KeptConfig, putSmallObject } from "./small-objects.ts";

/** How many are kept at each location. */
const configsKept = 10;

/** The newest one that opens; undefined when there is none. Throws storage errors. */
export async function newestConfig(repository: Repository, options: CallOptions = {}): Promise<KeptConfig | undefined> {
  for await (const { config } of configsOf(repository, options)) return config;
  return undefined;
}

/** Stores what the host runs by, unless the newest one stored says the same. Throws storage errors. */
export async function keepConfig(
  repository: Repository,
  { host, path, text }: Pick<KeptConfig, "host" | "path" | "text">,
  options: CallOptions = {},
): Promise<void> {
  const newest = await newestConfig(repository, options);
  if (newest?.host === host && newest.path === path && newest.text === text) return;
  const time = new Date(repository.clock.now()).toISOString();
  await putSmallObject(repository, "config", { version: 1, time, host, path, text }, options);
}

/**
 * Names of those older than the newest that are kept. One that doesn't open counts neither here nor there: else anyone who can put
 * objects there, without a key, could push out all that do.
 */
export async function listOldConfigs(repository: Repository, options: CallOptions): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of configsOf(repository, options)) names.push(name);
  return names.slice(configsKept);
}

/** All that open, the newest first: names begin with the time. */
async function* configsOf(
  repository: Repository,
  options: CallOptions,
): AsyncGenerator<{ readonly name: string; readonly config: KeptConfig }> {
  const listed: ObjectInfo[] = [];
  for await (const object of repository.storage.list("config/", options)) listed.push(object);
  for (const { name, size } of listed.toSorted((a, b) => (a.name < b.name ? 1 : -1))) {
    try {
      requireLength({ name, size }, longestSmallObject);
      yield { name, config: await getSmallObject(repository, "config", name, options) };
    } catch (error) {
      if (!isStillpointError(error, "damaged") && !isStillpointError(error, "object_missing")) throw error;
    }
  }
}
