/** One thread's way of adding blobs: hashed, looked up, compressed, sealed, opened again, packed, stored. */
import { toError } from "../../errors.ts";
import { throwIfCancelled } from "../../host/cancel.ts";
import { randomBytes } from "../../host/random.ts";
import { release } from "../../host/release.ts";
import { compressBound, compressInto } from "../../host/zstd.ts";
import type { Storage } from "../../storage/storage.ts";
import { BlobIndex } from "./blob-index.ts";
import {
  type BlobKind,
  blobKinds,
  damagedObject,
  encodeHeader,
  encodings,
  headerLength,
  type ObjectClass,
  packTarget,
  tagLength,
} from "../format.ts";
import { type KeyRing, sealInto, unseal } from "../keys/key-ring.ts";
import {
  decodeStored,
  encodeAssociated,
  encodeTableEntry,
  type PackInfo,
  packName,
  reusedRoom,
  sealTable,
} from "./pack.ts";
import { type PackBytes, PackMemory } from "./pack-memory.ts";

/** Content shorter than this, in bytes, isn't worth a try at compressing. */
const shortestCompressed = 64;
/** In bytes, but for a pack of one unusually large blob. */
const largestPack = packTarget + (packTarget >> 3);
const packMemory = new PackMemory(largestPack);
/** Packs on their way to a near storage at once, per writer: the next is filled meanwhile. More would only take memory. */
const usualInFlight = 1;

/** Which blobs need not be stored again. */
export interface Presence {
  has(id: Buffer): boolean;
}

export interface BlobWriterOptions {
  readonly keys: KeyRing;
  readonly storage: Pick<Storage, "put">;
  readonly presence: Presence;
  /** Packs on their way to the storage while the next is filled: about 16 MiB of memory each. */
  readonly packsInFlight?: number | undefined;
  /** Called when a pack is durable. */
  readonly onPack: (pack: PackInfo) => void;
  readonly signal?: AbortSignal | undefined;
}

/** In bytes: contents of the blobs never seen before, and what they take sealed. */
export interface WriteStatistics {
  newBytes: number;
  storedBytes: number;
}

interface OpenPack {
  readonly class: ObjectClass;
  readonly bytes: PackBytes;
  readonly header: Buffer;
  readonly objectKey: Buffer;
  readonly table: Buffer[];
}

/** What takes the nodes of trees. */
export type BlobAdder = Pick<BlobWriter, "add">;

export class BlobWriter {
  readonly #options: BlobWriterOptions;
  readonly #packsInFlight: number;
  readonly #added = new BlobIndex();
  readonly #open: Partial<Record<ObjectClass, OpenPack>> = {};
  readonly #inFlight = new Set<Promise<void>>();
  readonly #roomToCompress = reusedRoom();
  readonly #roomToDecode = reusedRoom();
  #failure: Error | undefined;
  readonly statistics: WriteStatistics = { newBytes: 0, storedBytes: 0 };

  constructor(options: BlobWriterOptions) {
    this.#options = options;
    this.#packsInFlight = options.packsInFlight ?? usualInFlight;
  }

  /** Stores `raw` (at most 16 MiB) unless it is there already; returns its id. It is durable only after `flush`. */
  async add(kind: BlobKind, raw: Uint8Array): Promise<Buffer> {
    const id = this.#options.keys.blobId(kind, raw);
    if (!this.has(id)) await this.addNew(kind, id, raw);
    return id;
  }

  /** Whether the blob is in the repository or in this writer. */
  has(id: Buffer): boolean {
    return this.#added.has(id) || this.#options.presence.has(id);
  }

  /** Stores a blob whose id is known and which isn't there. */
  async addNew(kind: BlobKind, id: Buffer, raw: Uint8Array): Promise<void> {
    const packed = raw.length < shortestCompressed ? raw : this.#compress(raw);
    const encoding = packed.length < raw.length ? encodings.zstd : encodings.plain;
    await this.addStored(kind, id, encoding, raw.length, encoding === encodings.zstd ? packed : raw, raw);
  }

  #compress(raw: Uint8Array): Buffer {
    const room = this.#roomToCompress(compressBound(raw.length));
    return room.subarray(0, compressInto(room, raw));
  }

  /**
   * Stores a blob that is encoded already (a copy from another pack or repository). `raw`, when given, is compared with what
   * comes out when the sealed blob is opened again; without it the stored form is.
   */
  async addStored(
    kind: BlobKind,
    id: Buffer,
    encoding: number,
    rawLength: number,
    stored: Uint8Array,
    raw?: Uint8Array,
  ): Promise<void> {
    const sealedLength = stored.length + tagLength;
    // From here to the table's line without a pause: others may be adding too, and one of them may close the pack.
    const pack = this.#packFor(kind === blobKinds.data ? "data" : "metadata", sealedLength);
    const number = pack.table.length;
    const associated = encodeAssociated(id, kind, encoding, rawLength);
    const sealed = pack.bytes.append(sealedLength);
    sealInto(sealed, pack.objectKey, number, associated, stored);
    const reopened = unseal(pack.objectKey, number, associated, sealed);
    const decoded = raw === undefined ? reopened : decodeStored(encoding, rawLength, reopened, this.#roomToDecode);
    if (!decoded.equals(raw ?? stored))
      throw damagedObject("being written", "a blob didn't open as what was sealed; check this machine's memory");
    release(reopened);
    pack.table.push(encodeTableEntry(associated, sealedLength));
    this.#added.insert(id, 1);
    this.statistics.newBytes += rawLength;
    this.statistics.storedBytes += sealedLength;
    if (pack.bytes.length >= packTarget) this.#close(pack);
    while (this.#inFlight.size > this.#packsInFlight) await Promise.race(this.#inFlight);
  }

  /** Closes the packs begun and waits until all are durable. Throws what made a pack fail. */
  async flush(): Promise<void> {
    for (const pack of Object.values(this.#open)) this.#close(pack);
    await Promise.all(this.#inFlight);
    this.#throwIfFailed();
  }

  #packFor(objectClass: ObjectClass, length: number): OpenPack {
    this.#throwIfFailed();
    const open = this.#open[objectClass];
    if (open !== undefined && open.bytes.fits(length)) return open;
    if (open !== undefined) this.#close(open);
    const header = encodeHeader("pack", objectClass, randomBytes(32));
    const bytes = packMemory.take(headerLength + length);
    header.copy(bytes.append(headerLength));
    const pack = { class: objectClass, bytes, header, objectKey: this.#options.keys.objectKey(header), table: [] };
    this.#open[objectClass] = pack;
    return pack;
  }

  #close(pack: OpenPack): void {
    delete this.#open[pack.class];
    const upload: Promise<void> = this.#put(pack)
      .catch((error: unknown) => {
        this.#failure ??= toError(error);
      })
      .finally(() => this.#inFlight.delete(upload));
    this.#inFlight.add(upload);
  }

  async #put(pack: OpenPack): Promise<void> {
    const table = Buffer.concat(pack.table);
    const { end, id } = sealTable(pack.objectKey, pack.header, table);
    const { storage, signal, onPack } = this.#options;
    await storage.put(packName(id), pack.bytes.endedBy(end), { signal });
    const size = pack.bytes.length + end.length;
    onPack({ id, class: pack.class, size, tableLength: end.length - 8, table });
    packMemory.giveBack(pack.bytes);
  }

  #throwIfFailed(): void {
    throwIfCancelled(this.#options.signal);
    if (this.#failure !== undefined) throw this.#failure;
  }
}
