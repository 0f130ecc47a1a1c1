/** Blobs on their way to a replica: what it lacks of some points, read sealed here and sealed anew there. */
import { release } from "../host/release.ts";
import { BlobReader } from "../repository/blobs/blob-reader.ts";
import { ReadMemory } from "../repository/blobs/read-memory.ts";
import { farReach, nearReach } from "../repository/blobs/runs.ts";
import type { BlobStore } from "../repository/blobs/blob-store.ts";
import type { CatalogPoint } from "../repository/points/catalog.ts";
import { inlineExecutor } from "../repository/threads/executor.ts";
import type { BlobKind } from "../repository/format.ts";
import type { Repository } from "../repository/repository.ts";
import { WriteSession } from "../repository/blobs/write-session.ts";
import { isFar } from "../storage/is-far.ts";
import type { CallOptions } from "../storage/storage.ts";
import { adoptOrphans } from "./adopt-orphans.ts";
import { type MissingBlobs, missingBlobs } from "./missing-blobs.ts";
import { nearestPoint } from "./nearest-point.ts";
import { type LockedThere, sweepNotices, type SweepNotices } from "./sweep-notices.ts";

/** Ids of one kind that are gathered before they are read, so that neighbours in a pack are read as one. */
const batchLength = 2048;
/**
 * Packs on their way at once, besides one that is filled: a replica is far, and a store takes several round trips for each. At
 * 150 ms one of 16 MiB takes about 3 s by SFTP: ten round trips, and 13 MiB/s on its connection.
 */
const packsInFlight = 5;

export interface TransferOptions extends CallOptions {
  /** Its storage counts what is read. */
  readonly primary: Repository;
  /** The primary's index. */
  readonly store: BlobStore;
  /** The replica's index. */
  readonly there: BlobStore;
  /** The points that both have, but for those that are damaged at the replica, as far as is known. */
  readonly common: readonly CatalogPoint[];
  /** Whether any is. */
  readonly damaged: boolean;
  /** Undefined where nothing is to be locked. */
  readonly locked: LockedThere | undefined;
  /** Called after each batch. */
  readonly onBatch: () => void;
}

export class Transfer {
  readonly #options: TransferOptions;
  readonly #reader: BlobReader;
  readonly #session: WriteSession;
  /** Points of each source that the replica has for certain once this session is finished. */
  readonly #bases = new Map<string, CatalogPoint[]>();
  /** Packs found at the replica that no index named. */
  readonly adopted: number;
  blobs = 0;

  private constructor(options: TransferOptions, notices: SweepNotices, adopted: number) {
    const { primary, store, there, signal } = options;
    this.#options = options;
    const reach = isFar(primary.address) ? farReach : nearReach;
    this.#reader = new BlobReader({
      keys: primary.keys,
      storage: primary.storage,
      index: store.index,
      packs: store.packs,
      reach,
      memory: new ReadMemory(reach.run),
    });
    this.#session = new WriteSession(there, inlineExecutor, signal, { packsInFlight });
    this.adopted = adopted;
    for (const point of options.common) if (notices.vouchFor(point.id)) this.#addBase(point);
  }

  /** Adopts what an interrupted run has left. Throws errors of the replica's storage. */
  static async begin(options: TransferOptions): Promise<Transfer> {
    const { there, locked } = options;
    const notices = sweepNotices(there, locked);
    return new Transfer(options, notices, await adoptOrphans(there, notices, options));
  }

  /** The replica's index, and what was sent. */
  get there(): BlobStore {
    return this.#session.store;
  }

  /**
   * Sends what the replica lacks of the point. Returns the error when the primary can't give all of it; throws errors of
   * the replica's storage, and `cancelled`. What was sent is durable and indexed after `finish`.
   */
  async send(point: CatalogPoint): Promise<Error | undefined> {
    for await (const batch of this.#batchesOf(point)) {
      const failure = batch instanceof Error ? batch : await this.#copy(batch);
      if (failure !== undefined) return failure;
    }
    this.#addBase(point);
    return undefined;
  }

  async finish(): Promise<void> {
    await this.#session.finish();
  }

  async close(): Promise<void> {
    await this.#session.close();
  }

  /** What the replica lacks of the point, each blob once, in lists long enough for few and long reads. */
  async *#batchesOf(point: CatalogPoint): AsyncGenerator<MissingBlobs | Error> {
    const gathered = new Map<BlobKind, Map<string, Buffer>>();
    const all = missingBlobs({
      reader: this.#reader,
      presence: this.#session.writer,
      manifest: point.manifest,
      base: nearestPoint(point, this.#bases.get(point.manifest.source) ?? [])?.manifest,
      signal: this.#options.signal,
    });
    for await (const missing of all) {
      if (missing instanceof Error) {
        yield missing;
        return;
      }
      const { kind, ids } = missing;
      const batch = gathered.get(kind) ?? new Map<string, Buffer>();
      for (const id of ids) batch.set(id.toString("latin1"), id);
      gathered.set(kind, batch);
      if (batch.size < batchLength) continue;
      gathered.delete(kind);
      yield { kind, ids: [...batch.values()] };
    }
    for (const [kind, batch] of gathered) yield { kind, ids: [...batch.values()] };
  }

  async #copy({ kind, ids: listed }: MissingBlobs): Promise<Error | undefined> {
    const { writer } = this.#session;
    // One that was listed in two batches came with the first.
    const ids = listed.filter((id) => !writer.has(id));
    let failure: Error | undefined;
    await this.#reader.readManyStored(
      kind,
      ids,
      async (position, blob) => {
        if (blob instanceof Error) {
          failure ??= blob;
          return;
        }
        await writer.addStored(kind, ids[position] as Buffer, blob.encoding, blob.rawLength, blob.stored);
        release(blob.stored);
        this.blobs += 1;
      },
      this.#options,
    );
    this.#options.onBatch();
    return failure;
  }

  #addBase(point: CatalogPoint): void {
    const { source } = point.manifest;
    const bases = this.#bases.get(source) ?? [];
    bases.push(point);
    this.#bases.set(source, bases);
  }
}
