/** How much of each pack is in use, and which of several copies of a blob counts. */
import type { CallOptions } from "../../storage/storage.ts";
import type { BlobStore, StorePack } from "../blobs/blob-store.ts";
import { readPack } from "../blobs/open-packs.ts";
import { type BlobKind, idLength, type ObjectClass, tableEntryLength } from "../format.ts";
import { openIndexes } from "../blobs/open-indexes.ts";
import type { MarkSet } from "../mark/mark-set.ts";
import type { PackInfo } from "../blobs/pack.ts";
import { parseTable } from "../blobs/pack-table.ts";
import { isUnreadable } from "../points/unreadable.ts";

/** A pack as a sweep sees it. Bytes are of sealed blobs but for `size`, the whole pack's. */
export interface PackUse {
  readonly id: string;
  readonly class: ObjectClass;
  readonly size: number;
  /** When the store says that it was written, in ms since the epoch. */
  readonly time: number;
  readonly indexed: boolean;
  /** In use, and here is the copy that counts. */
  liveBlobs: number;
  liveBytes: number;
  /** It has a blob in use that no pack without a name in a sweep record has. */
  needed: boolean;
}

export interface Usage {
  /** By pack id. */
  readonly packs: ReadonlyMap<string, PackUse>;
  /** For blobs in use in several packs: the id of the pack whose copy counts, by blob id as latin1. */
  readonly homes: ReadonlyMap<string, string>;
  /** By the ids of packs that a sweep record names: their blobs in use of which another pack's copy counts. */
  readonly covered: ReadonlyMap<string, readonly CoveredBlob[]>;
  readonly indexes: readonly IndexUse[];
}

export interface CoveredBlob {
  readonly kind: BlobKind;
  readonly id: Buffer;
}

/** An index object. */
export interface IndexUse {
  readonly name: string;
  /** In bytes. */
  readonly size: number;
  /** Ids of the packs that it names and that are there. */
  readonly packs: readonly string[];
  /** Ids of the packs that it names though a sweep has deleted them, since it was locked then. */
  readonly gone: readonly string[];
  /** Others name all of its packs, too. */
  readonly redundant: boolean;
}

export interface UsageOptions extends CallOptions {
  readonly store: BlobStore;
  readonly marks: MarkSet;
  readonly orphans: Orphans;
  /** Ids of the packs named by any sweep record. */
  readonly named: ReadonlySet<string>;
}

/** Packs that no index names. */
export interface Orphans {
  /** Taken into the loaded store, so that a blob in use is found even if only they have it. */
  readonly readable: readonly PackInfo[];
  /** Without a table that opens: no blob can be had from them. */
  readonly junk: readonly StorePack[];
  /** The storage failed to read their tables: what they hold isn't known, so they stay. */
  readonly unread: readonly StorePack[];
}

/** Reads the tables of packs that no index names. Throws a storage error. */
export async function openOrphans(store: BlobStore, options: CallOptions): Promise<Orphans> {
  const { keys, storage } = store.repository;
  const readable: PackInfo[] = [];
  const junk: StorePack[] = [];
  const unread: StorePack[] = [];
  for (const orphan of store.orphans) {
    try {
      readable.push((await readPack(keys, storage, { id: orphan.id, size: orphan.size }, options)).info);
    } catch (error) {
      if (!isUnreadable(error)) throw error;
      (error.code === "damaged" ? junk : unread).push(orphan);
    }
  }
  for (const info of readable) store.add(info);
  return { readable, junk, unread };
}

/** Throws `damaged` or a storage error. */
export async function measureUsage(options: UsageOptions): Promise<Usage> {
  const { store, orphans } = options;
  const { locks } = store.repository.storage;
  const measure = new Measure(options);
  const indexes: IndexUse[] = [];
  for await (const { name, size, packs } of openIndexes(store.repository, store.indexes, options)) {
    const present = packs.filter((pack) => store.numberOf(pack.id) !== undefined);
    // Where nothing is locked, a pack that is named and isn't there is damage: for `check` to tell, and for `repair` to mend.
    const gone =
      locks === undefined ? [] : packs.filter((pack) => !store.present.has(pack.id) && !hadLost(pack, options));
    const fresh = present.filter((pack) => measure.add(pack, true));
    // What it names and isn't there is named on: it may be back.
    const redundant = fresh.length === 0 && present.length > 0 && present.length === packs.length;
    indexes.push({ name, size, packs: idsOf(present), gone: idsOf(gone), redundant });
  }
  for (const pack of orphans.readable) measure.add(pack, false);
  for (const pack of orphans.junk) measure.addJunk(pack);
  const homes = measure.settle();
  return { packs: measure.packs, homes, covered: measure.covered, indexes };
}

/** Whether it had blobs in use that are nowhere now: no sweep has deleted it. */
function hadLost(pack: PackInfo, { store, marks }: UsageOptions): boolean {
  return parseTable(pack).some(({ kind, id }) => marks.has(kind, id) && !store.index.has(id));
}

function idsOf(packs: readonly PackInfo[]): string[] {
  return packs.map(({ id }) => id);
}

class Measure {
  readonly packs = new Map<string, PackUse>();
  readonly covered = new Map<string, CoveredBlob[]>();
  readonly #options: UsageOptions;
  /** Blobs in use that seem to be in several packs, by id as latin1. */
  readonly #several = new Map<string, Several>();

  constructor(options: UsageOptions) {
    this.#options = options;
  }

  /** Returns whether the pack was new. */
  add(info: PackInfo, indexed: boolean): boolean {
    const { store, marks, named } = this.#options;
    const { id, size } = info;
    if (this.packs.has(id)) return false;
    const time = store.present.get(id)?.time ?? 0;
    const pack: PackUse = { id, class: info.class, size, time, indexed, liveBlobs: 0, liveBytes: 0, needed: false };
    this.packs.set(id, pack);
    for (let at = 0; at < info.table.length; at += tableEntryLength) {
      const blob = info.table.subarray(at, at + idLength);
      const kind = info.table[at + idLength] as BlobKind;
      if (!marks.has(kind, blob)) continue;
      const length = info.table.readUInt32BE(at + 38);
      const copies = store.index.packsOf(blob);
      copies.next();
      if (copies.next().done === true) count(pack, length, named.has(id));
      else this.#remember(blob.toString("latin1"), kind, length, pack);
    }
    return true;
  }

  addJunk({ id, size, time }: StorePack): void {
    this.packs.set(id, { id, class: "data", size, time, indexed: false, liveBlobs: 0, liveBytes: 0, needed: false });
  }

  #remember(id: string, kind: BlobKind, length: number, pack: PackUse): void {
    const several = this.#several.get(id) ?? { kind, length, packs: [] };
    if (!several.packs.includes(pack)) several.packs.push(pack);
    this.#several.set(id, several);
  }

  /** Decides between copies once all are known. */
  settle(): Map<string, string> {
    const { named } = this.#options;
    const homes = new Map<string, string>();
    for (const [id, { kind, length, packs }] of this.#several) {
      const indexed = packs.filter((pack) => pack.indexed);
      const readable = indexed.length > 0 ? indexed : packs;
      const free = readable.filter((pack) => !named.has(pack.id));
      // Whatever another sweep, which saw other records, may have decided: of copies that are all named, none goes.
      if (free.length === 0) for (const pack of readable) pack.needed = true;
      const home = (free.length === 0 ? readable : free).reduce((a, b) => (newer(a, b) ? a : b));
      count(home, length, false);
      homes.set(id, home.id);
      for (const pack of packs) if (pack !== home && named.has(pack.id)) this.#cover(pack, kind, id);
    }
    return homes;
  }

  #cover(pack: PackUse, kind: BlobKind, id: string): void {
    const covered = this.covered.get(pack.id) ?? [];
    covered.push({ kind, id: Buffer.from(id, "latin1") });
    this.covered.set(pack.id, covered);
  }
}

/** A blob in use, how long it is when sealed, and the packs that really have it. */
interface Several {
  readonly kind: BlobKind;
  readonly length: number;
  readonly packs: PackUse[];
}

function count(pack: PackUse, length: number, needed: boolean): void {
  pack.liveBlobs += 1;
  pack.liveBytes += length;
  pack.needed ||= needed;
}

/** Of several copies the newest counts: a sweep cut off after it rewrote a pack then doesn't rewrite it again. */
function newer(a: PackUse, b: PackUse): boolean {
  return a.time > b.time || (a.time === b.time && a.id > b.id);
}
