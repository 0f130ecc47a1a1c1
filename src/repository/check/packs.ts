/** Checks packs: all of them by what they say of themselves, and as many as asked for to the last byte. */
import { throwIfCancelled } from "../../host/cancel.ts";
import type { CallOptions } from "../../storage/storage.ts";
import type { BlobStore } from "../blobs/blob-store.ts";
import { forEachAtOnce } from "../points/catalog.ts";
import type { Damage } from "../points/unreadable.ts";
import { type BadRead, blobRecordLength, type PackToRead, readPacks } from "./read-task.ts";
import type { ExecutorFactory } from "../threads/executor.ts";
import { type BlobKind, damagedObject } from "../format.ts";
import { openIndex } from "../blobs/index-object.ts";
import { readEnds } from "../blobs/open-packs.ts";
import { sha256 } from "../keys/key-ring.ts";
import { isDamage } from "../mark/mark.ts";
import { type PackInfo, packName } from "../blobs/pack.ts";
import { parseTable } from "../blobs/pack-table.ts";
import type { Orphans } from "../sweep/usage.ts";
import { bufferOver } from "../threads/buffer-over.ts";
import { WriteSession } from "../blobs/write-session.ts";

/** Group `group` (from 1) of `of` groups into which packs fall by their ids; all of them is 1 of 1. */
export interface ReadData {
  readonly group: number;
  readonly of: number;
}

/** How far the reading is. */
export interface CheckProgress {
  readonly packs: number;
  readonly totalPacks: number;
  readonly bytes: number;
  readonly totalBytes: number;
}

/** A pack that isn't as it should be. */
export interface BadPack {
  readonly id: string;
  readonly message: string;
  readonly missing: boolean;
  readonly indexed: boolean;
  /** The blobs that can't be had from it, as far as they are known. */
  readonly blobs: readonly { readonly kind: BlobKind; readonly id: Buffer }[];
  /** None at all can: it is missing, or its own table doesn't open. */
  readonly noneReadable: boolean;
}

export interface PacksChecked {
  readonly store: BlobStore;
  readonly bad: readonly BadPack[];
  readonly damagedIndexes: readonly Damage[];
  readonly bytesRead: number;
}

interface PackDigest {
  /** SHA-256 of the table, in hex. */
  readonly table: string;
  readonly index: string;
}

/** What the index says of each pack's table, in 100 bytes a pack. */
export interface TableDigests {
  readonly add: (index: string, packs: readonly PackInfo[]) => void;
  readonly get: (pack: string) => PackDigest | undefined;
  /** Packs of which two index objects say different things. */
  readonly contradicted: Set<string>;
}

export function tableDigests(): TableDigests {
  const digests = new Map<string, PackDigest>();
  const contradicted = new Set<string>();
  const add: TableDigests["add"] = (index, packs) => {
    for (const pack of packs) {
      const table = sha256(pack.table).toString("hex");
      const earlier = digests.get(pack.id);
      if (earlier === undefined) digests.set(pack.id, { table, index });
      else if (earlier.table !== table) contradicted.add(index);
    }
  };
  return { add, get: (pack) => digests.get(pack), contradicted };
}

/** The packs of that id as the index has them. Throws a storage error; what can't be read of the index is passed over. */
export async function tablesOf(
  store: BlobStore,
  ids: ReadonlySet<string>,
  options: CallOptions,
): Promise<Map<string, PackInfo>> {
  const { keys, storage } = store.repository;
  const tables = new Map<string, PackInfo>();
  if (ids.size === 0) return tables;
  for (const { name } of store.indexes) {
    try {
      for (const pack of openIndex(keys, name, await storage.get(name, undefined, options))) {
        if (ids.has(pack.id)) tables.set(pack.id, pack);
      }
    } catch (error) {
      if (!isDamage(error)) throw error;
    }
  }
  return tables;
}

export interface CheckPacksOptions extends CallOptions {
  readonly executor: ExecutorFactory;
  readonly readData?: ReadData | undefined;
  readonly onProgress?: ((progress: CheckProgress) => void) | undefined;
}

const tablesAtOnce = 16;
/** Of one task: enough that messages cost nothing, few enough for steady progress. */
const packsPerTask = 32;
const bytesPerTask = 64 * 1024 * 1024;

export async function checkPacks(
  store: BlobStore,
  orphans: Orphans,
  digests: TableDigests,
  options: CheckPacksOptions,
): Promise<PacksChecked> {
  const checking = new PackChecking(store, digests);
  checking.noteListed(orphans);
  const packs: PackToRead[] = [...store.packs.all()].map(([, { id, size }]) => {
    return { id, size, table: digests.get(id)?.table };
  });
  const { readData } = options;
  const toRead = readData === undefined ? [] : packs.filter(({ id }) => inGroup(id, readData));
  const read = new Set(toRead);
  await forEachAtOnce(packs, tablesAtOnce, async (pack) => {
    if (!read.has(pack)) await checking.checkTable(pack, options);
  });
  if (toRead.length > 0) await checking.readAll(toRead, options);
  return checking;
}

/** Ids are hashes, so their first bits spread packs evenly. */
function inGroup(id: string, { group, of }: ReadData): boolean {
  return Number.parseInt(id.slice(0, 8), 16) % of === group - 1;
}

class PackChecking implements PacksChecked {
  readonly store: BlobStore;
  readonly bad: BadPack[] = [];
  readonly damagedIndexes: Damage[] = [];
  bytesRead = 0;
  readonly #digests: TableDigests;

  constructor(store: BlobStore, digests: TableDigests) {
    this.store = store;
    this.#digests = digests;
  }

  /** What the listing shows without a further look. */
  noteListed({ junk, unread }: Orphans): void {
    for (const name of this.#digests.contradicted)
      this.#noteIndex(name, "another says something else of the same pack");
    for (const id of this.store.lost) {
      // Another index object may have its right size: then it isn't lost at all.
      if (this.store.numberOf(id) !== undefined) continue;
      const size = this.store.present.get(id)?.size;
      const name = packName(id);
      const message =
        size === undefined
          ? `The pack ${name} is missing`
          : `The pack ${name} has ${String(size)} bytes, not what the index says`;
      this.bad.push({ id, message, missing: size === undefined, indexed: true, blobs: [], noneReadable: true });
    }
    for (const { id } of [...junk, ...unread]) {
      const message = `The pack ${packName(id)}, which no index names, has no table that opens`;
      this.bad.push({ id, message, missing: false, indexed: false, blobs: [], noneReadable: true });
    }
  }

  async checkTable(pack: PackToRead, { signal }: CallOptions): Promise<void> {
    throwIfCancelled(signal);
    const { id, size } = pack;
    const { keys, storage } = this.store.repository;
    try {
      const { info } = await readEnds(keys, storage, { id, size }, { signal });
      if (pack.table === undefined) parseTable(info);
      else if (sha256(info.table).toString("hex") !== pack.table) this.#noteOtherTable(id);
    } catch (error) {
      if (!isDamage(error)) throw error;
      this.#noteBad({ id, message: error.parts.what, missing: error.code === "object_missing" }, undefined);
    }
  }

  async readAll(packs: readonly PackToRead[], { executor, signal, onProgress }: CheckPacksOptions): Promise<void> {
    const session = new WriteSession(this.store, executor, signal);
    const totalBytes = packs.reduce((sum, { size }) => sum + size, 0);
    let done = 0;
    try {
      await forEachAtOnce(batches(packs), session.executor.parallel, async (batch) => {
        const { bytes, bad } = await session.run(readPacks, batch);
        for (const pack of bad) this.#noteRead(pack);
        done += batch.length;
        this.bytesRead += bytes;
        onProgress?.({ packs: done, totalPacks: packs.length, bytes: this.bytesRead, totalBytes });
      });
    } finally {
      await session.close();
    }
  }

  #noteRead(pack: BadRead): void {
    if (pack.otherTable) this.#noteOtherTable(pack.id);
    else this.#noteBad(pack, pack.blobs);
  }

  #noteBad({ id, message, missing }: Pick<BadRead, "id" | "message" | "missing">, blobs: Uint8Array | undefined): void {
    const indexed = this.#digests.get(id) !== undefined;
    this.bad.push({ id, message, missing, indexed, blobs: splitBlobs(blobs), noneReadable: blobs === undefined });
  }

  #noteOtherTable(id: string): void {
    this.#noteIndex(
      this.#digests.get(id)?.index ?? "index",
      `it says of ${packName(id)} what that pack's own table doesn't`,
    );
  }

  #noteIndex(name: string, why: string): void {
    this.damagedIndexes.push({ name, error: damagedObject(name, why) });
  }
}

function batches<T extends { readonly size: number }>(packs: readonly T[]): T[][] {
  const all: T[][] = [];
  let bytes = 0;
  for (const pack of packs) {
    const batch = all.at(-1);
    bytes += pack.size;
    if (batch !== undefined && batch.length < packsPerTask && bytes <= bytesPerTask) batch.push(pack);
    else {
      all.push([pack]);
      bytes = pack.size;
    }
  }
  return all;
}

function splitBlobs(bytes: Uint8Array = new Uint8Array()): { kind: BlobKind; id: Buffer }[] {
  const joined = bufferOver(bytes);
  const blobs: { kind: BlobKind; id: Buffer }[] = [];
  for (let at = 0; at < joined.length; at += blobRecordLength) {
    blobs.push({ kind: joined[at] as BlobKind, id: joined.subarray(at + 1, at + blobRecordLength) });
  }
  return blobs;
}
