/** Reads index objects, several at a time. */
import type { CallOptions, ObjectInfo } from "../../storage/storage.ts";
import { longestLargeObject, requireLength } from "../format.ts";
import { type Damage, PassingOver } from "../points/unreadable.ts";
import type { Repository } from "../repository.ts";
import { ahead } from "./ahead.ts";
import { openIndex } from "./index-object.ts";
import type { PackInfo } from "./pack.ts";

/** As the storage lists it: `size` in bytes. */
export type IndexObject = Pick<ObjectInfo, "name" | "size">;

export interface OpenedIndex extends IndexObject {
  readonly packs: readonly PackInfo[];
}

/**
 * Under way, or there and not used yet, at most. Most are small, since each capture and each replication leaves one, and a distant
 * storage takes a round trip for each; large ones have some 8 MiB.
 */
const objectsAhead = 32;
const bytesAhead = 32 * 1024 * 1024;

export interface OpenIndexesOptions extends CallOptions {
  /** Told of each that can't be read, which is left out then; without it, that is thrown. */
  readonly onDamage?: ((damage: Damage) => void) | undefined;
}

/** In the order of the list. Throws `damaged` or a storage error. */
export async function* openIndexes(
  { keys, storage }: Pick<Repository, "keys" | "storage">,
  indexes: Iterable<IndexObject>,
  options: OpenIndexesOptions = {},
): AsyncGenerator<OpenedIndex> {
  const reported = reporting(options);
  const opened = ahead(indexes, {
    begin: async (index) => {
      const { name } = index;
      const packs = await reported(name, async () => {
        requireLength(index, longestLargeObject);
        return openIndex(keys, name, await storage.get(name, undefined, options));
      });
      return packs && { ...index, packs };
    },
    costOf: ({ size }) => Math.max(size, bytesAhead / objectsAhead),
    limit: bytesAhead,
  });
  for await (const index of opened) if (index !== undefined) yield index;
}

/** How objects are read: undefined for one that can't be read, when there is someone to be told of that. */
export function reporting({
  onDamage,
}: Pick<OpenIndexesOptions, "onDamage">): <T>(name: string, read: () => Promise<T>) => Promise<T | undefined> {
  if (onDamage === undefined) return async (_, read) => await read();
  const reads = new PassingOver(onDamage);
  return async (name, read) => await reads.read(name, read);
}
