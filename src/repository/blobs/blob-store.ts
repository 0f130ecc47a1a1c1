/** What a repository holds, loaded: its packs, where each blob is, which packs are condemned. */
import { isFar } from "../../storage/is-far.ts";
import type { CallOptions } from "../../storage/storage.ts";
import { BlobIndex } from "./blob-index.ts";
import { BlobReader, type PacksByBlob } from "./blob-reader.ts";
import { idLength, tableEntryLength } from "../format.ts";
import { type IndexObject, openIndexes, type OpenIndexesOptions } from "./open-indexes.ts";
import { type PackInfo, packIdOf } from "./pack.ts";
import { PackCatalog } from "./pack-catalog.ts";
import type { Repository } from "../repository.ts";
import { farReach } from "./runs.ts";
import type { SweepRecord } from "../points/small-objects.ts";
import { SweepsSeen, unlessOvertaken } from "./sweeps-seen.ts";

/** Blobs that room is made for ahead, by what listed lengths promise: enough for 8 TiB of images. What more there is finds room as it comes. */
const mostExpected = 2 ** 26;

/** `onDamage` is told of sweep records, too. */
export interface LoadStoreOptions extends OpenIndexesOptions {
  /** Shown each index object's packs, so that they needn't be read twice; the same again when the load begins anew. */
  readonly onIndex?: (name: string, packs: readonly PackInfo[]) => void;
}

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
  /** The index objects, but for damaged ones. */
  readonly indexes: IndexObject[] = [];
  /** Numbers of packs that a sweep has condemned, or found in no index: new points must not rely on them. */
  readonly condemned = new Set<number>();
  readonly #sweeps: SweepsSeen;
  readonly #numbers = new Map<string, number>();

  private constructor(repository: Repository, sweeps: SweepsSeen, expected: number) {
    this.repository = repository;
    this.#sweeps = sweeps;
    this.index = BlobIndex.withRoomFor(expected);
    this.reader = this.readerBy(this.index);
  }

  /** Looks for a blob in no other packs than those that this index names. */
  readerBy(index: PacksByBlob): BlobReader {
    const { address, keys, storage } = this.repository;
    return new BlobReader({ keys, storage, index, packs: this.packs, reach: isFar(address) ? farReach : undefined });
  }

  /** Reads the index. Throws `damaged` when an index object is (`repair` rebuilds it from the packs), or a storage error. */
  static async load(repository: Repository, options: LoadStoreOptions = {}): Promise<BlobStore> {
    return await unlessOvertaken(async () => await BlobStore.#load(repository, options));
  }

  /**
   * The order of the lists matters (docs/format.md section 11). Sweep records first: one that isn't seen any more has had its packs
   * deleted before, so they aren't seen either. Then index objects, then packs: a pack is always there before the index that names it.
   * What an index object says never changes: they are read while packs are listed.
   */
  static async #load(repository: Repository, options: LoadStoreOptions): Promise<BlobStore> {
    const { storage } = repository;
    const sweeps = await SweepsSeen.begin(repository, options);
    const indexes: IndexObject[] = [];
    for await (const { name, size } of storage.list("index/", options)) indexes.push({ name, size });
    const bytes = indexes.reduce((sum, { size }) => sum + size, 0);
    const store = new BlobStore(repository, sweeps, Math.min(mostExpected, Math.ceil(bytes / tableEntryLength)));
    const listing = store.#listPacks(options);
    listing.catch(() => undefined); // Seen where it is waited for; here it only must not count as unhandled.
    for await (const { name, size, packs } of openIndexes(repository, indexes, options)) {
      await listing;
      store.indexes.push({ name, size });
      options.onIndex?.(name, packs);
      for (const pack of packs) {
        if (store.present.get(pack.id)?.size !== pack.size) store.lost.add(pack.id);
        else store.add(pack);
      }
    }
    await listing;
    for (const record of sweeps.records.values()) store.#condemn(record);
    return store;
  }

  async #listPacks(options: CallOptions): Promise<void> {
    for await (const { name, size, time } of this.repository.storage.list("packs/", options)) {
      const id = packIdOf(name);
      if (id !== undefined) this.present.set(id, { id, size, time });
    }
  }

  /**
   * Whether a new point may take over unseen whatever this point reaches: no sweep has condemned any of it. Otherwise each
   * blob must be looked up, since a point that isn't in a sweep's record may rely on packs that it condemned.
   */
  mayRelyOn(pointId: string): boolean {
    for (const record of this.sweeps.values()) {
      const empty = record.condemned.length === 0 && record.orphans.length === 0;
      if (!empty && !record.points.includes(pointId)) return false;
    }
    return true;
  }

  #condemn(record: SweepRecord): void {
    for (const id of [...record.condemned, ...record.orphans]) {
      const number = this.#numbers.get(id);
      if (number !== undefined) this.condemned.add(number);
    }
  }

  /** Sweep records, by object name. */
  get sweeps(): ReadonlyMap<string, SweepRecord> {
    return this.#sweeps.records;
  }

  /** How old this view is, in ms. */
  get age(): number {
    return this.#sweeps.age;
  }

  /** How old it may be, in ms, when a point that relies on it is committed; see `SweepsSeen`. Throws `damaged` or a storage error. */
  async longestReliance(grace: number, options: CallOptions): Promise<number> {
    return await this.#sweeps.longestReliance(grace, options);
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
