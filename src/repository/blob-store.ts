/** What a repository holds, loaded: its packs, where each blob is, which packs are condemned. */
import type { CallOptions } from "../storage/storage.ts";
import { BlobIndex } from "./blob-index.ts";
import { BlobReader } from "./blob-reader.ts";
import { forEachAtOnce } from "./catalog.ts";
import { idLength, tableEntryLength } from "./format.ts";
import { openIndex } from "./index-object.ts";
import { type PackInfo, packIdOf } from "./pack.ts";
import { PackCatalog } from "./pack-catalog.ts";
import type { Repository } from "./repository.ts";
import { getSmallObject } from "./small-objects.ts";

/** How a pack listed in the storage differs from what the index says. */
export interface StorePack {
  readonly id: string;
  readonly size: number;
  /** When the store says that it was written, in ms since the epoch. */
  readonly time: number;
}

export class BlobStore {
  readonly repository: Repository;
  readonly index: BlobIndex;
  readonly packs = new PackCatalog();
  readonly reader: BlobReader;
  /** Every pack in the storage. */
  readonly present = new Map<string, StorePack>();
  /** Packs that the index names and that aren't there, or have another size. Their blobs count as absent. */
  readonly lost = new Set<string>();
  /** Names of the index objects. */
  readonly indexNames: string[] = [];
  /** Numbers of packs that a sweep has condemned: new points must not rely on them. */
  readonly condemned = new Set<number>();
  readonly #numbers = new Map<string, number>();

  private constructor(repository: Repository, expected: number) {
    this.repository = repository;
    this.index = BlobIndex.withRoomFor(expected);
    this.reader = new BlobReader({ keys: repository.keys, storage: repository.storage, index: this.index, packs: this.packs });
  }

  /** Reads the index. Throws `damaged` when an index object is (`repair` rebuilds it from the packs), or a storage error. */
  static async load(repository: Repository, options: CallOptions = {}): Promise<BlobStore> {
    const { storage } = repository;
    // Index objects first: a pack is always there before the index that names it.
    const indexes: { name: string; size: number }[] = [];
    for await (const { name, size } of storage.list("index/", options)) indexes.push({ name, size });
    const bytes = indexes.reduce((sum, { size }) => sum + size, 0);
    const store = new BlobStore(repository, Math.ceil(bytes / tableEntryLength));
    for await (const { name, size, time } of storage.list("packs/", options)) {
      const id = packIdOf(name);
      if (id !== undefined) store.present.set(id, { id, size, time });
    }
    const condemned = await condemnedPacks(repository, options);
    await forEachAtOnce(indexes, 4, async ({ name }) => {
      const packs = openIndex(repository.keys, name, await storage.get(name, undefined, options));
      store.indexNames.push(name);
      for (const pack of packs) {
        if (store.present.get(pack.id)?.size !== pack.size) store.lost.add(pack.id);
        else store.add(pack);
      }
    });
    for (const id of condemned) {
      const number = store.#numbers.get(id);
      if (number !== undefined) store.condemned.add(number);
    }
    return store;
  }

  /** Packs in the storage that no index names: a writer's work in progress, or what a killed writer left. */
  get orphans(): StorePack[] {
    return [...this.present.values()].filter((pack) => !this.#numbers.has(pack.id) && !this.lost.has(pack.id));
  }

  /** The number of an indexed pack. */
  numberOf(packId: string): number | undefined {
    return this.#numbers.get(packId);
  }

  /** Takes a durable pack into the loaded index. */
  add(pack: PackInfo): void {
    if (this.#numbers.has(pack.id)) return;
    const number = this.packs.add(pack);
    this.#numbers.set(pack.id, number);
    for (let at = 0; at < pack.table.length; at += tableEntryLength) {
      this.index.insert(pack.table.subarray(at, at + idLength), number);
    }
  }
}

async function condemnedPacks(repository: Repository, options: CallOptions): Promise<Set<string>> {
  const condemned = new Set<string>();
  for await (const { name } of repository.storage.list("sweeps/", options)) {
    const record = await getSmallObject(repository, "sweeps", name, options);
    for (const id of record.condemned) condemned.add(id);
  }
  return condemned;
}

