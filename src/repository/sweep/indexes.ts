/** Replaces index objects: at every moment each pack that stays is named by one. */
import { throwIfCancelled } from "../../host/cancel.ts";
import type { CallOptions } from "../../storage/storage.ts";
import { forEachAtOnce } from "../points/catalog.ts";
import { damagedObject } from "../format.ts";
import { sealIndexes } from "../blobs/index-object.ts";
import { type IndexObject, openIndexes } from "../blobs/open-indexes.ts";
import type { PackInfo } from "../blobs/pack.ts";
import type { Repository } from "../repository.ts";

/** Of one index object's plaintext, in bytes, about. */
const indexTarget = 8 * 1024 * 1024;
const deletesAtOnce = 8;

export interface Replacement extends CallOptions {
  /** Index objects whose packs are named anew. */
  readonly rewrite: readonly IndexObject[];
  /** Names of index objects that go, once the new ones are durable. */
  readonly remove: readonly string[];
  /** Ids of packs that aren't named any more. */
  readonly without: ReadonlySet<string>;
  /** Called between steps, and awaited. */
  readonly onProgress: () => Promise<void>;
}

/** Throws `damaged` or a storage error; what is there then is still right. */
export async function replaceIndexes(repository: Repository, options: Replacement): Promise<void> {
  const { storage } = repository;
  const named = new Set<string>();
  let waiting: PackInfo[] = [];
  let length = 0;
  const flush = async (): Promise<void> => {
    if (waiting.length > 0) await putIndex(repository, waiting, options);
    waiting = [];
    length = 0;
  };
  for await (const { packs } of openIndexes(repository, options.rewrite, options)) {
    await options.onProgress();
    for (const pack of packs) {
      if (options.without.has(pack.id) || named.has(pack.id)) continue;
      named.add(pack.id);
      waiting.push(pack);
      length += pack.table.length;
      if (length >= indexTarget) await flush();
    }
  }
  await flush();
  await forEachAtOnce(options.remove, deletesAtOnce, async (name) => {
    throwIfCancelled(options.signal);
    await storage.delete(name, options);
  });
}

/** Looked for again: what it names would be lost to readers if a store said yes and didn't keep it. */
export async function putIndex(
  { keys, storage }: Repository,
  packs: readonly PackInfo[],
  { signal }: CallOptions,
): Promise<void> {
  for (const { name, data } of sealIndexes(keys, packs)) {
    await storage.put(name, [data], { signal });
    const { size } = await storage.stat(name, { signal });
    if (size !== data.length)
      throw damagedObject(name, `it has ${String(size)} bytes, not the ${String(data.length)} just written`);
  }
}
