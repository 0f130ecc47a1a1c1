/** Finds and opens blobs. Reads that lie close together in a pack are made as one. */
import { isStillpointError, StillpointError, toError } from "../../errors.ts";
import type { CallOptions } from "../../storage/storage.ts";
import { ahead } from "./ahead.ts";
import type { BlobKind } from "../format.ts";
import { type OpenedPack, OpenPacks, type OpenPacksOptions } from "./open-packs.ts";
import { noMemory, type ReadMemory } from "./read-memory.ts";
import { isReadWhole, nearReach, type Reach, type Run, runsOf, type WantedBlob } from "./runs.ts";
import { openBlob, openStored, packName, type TableEntry } from "./pack.ts";

/** Packs opened ahead of the one that is being read. */
const packsAhead = 8;
/** Sealed blobs up to this length, in bytes, when read singly, are read together with what follows them. */
const smallRead = 64 * 1024;

/** Where a blob is. */
export interface BlobPlace {
  readonly pack: OpenedPack;
  readonly entry: TableEntry;
}

/** Positions in a list of ids; the pack is undefined when the index has none of them. */
interface PackGroup {
  readonly number: number | undefined;
  readonly positions: readonly number[];
}

/** A run and its bytes, if they came along with the pack's table; or positions of blobs that must be looked for elsewhere. */
type Portion =
  | { readonly pack: OpenedPack; readonly run: Run; readonly bytes: Buffer | undefined }
  | { readonly lost: readonly number[] };

interface PackRead {
  readonly group: PackGroup;
  /** Undefined when it can't be opened, or the index names none. */
  readonly pack: OpenedPack | undefined;
  /** All of it, when it was read as a whole. */
  readonly whole: Buffer | undefined;
}

/** A blob as a pack holds it: authenticated, still encoded. For copies to another pack or repository. */
export interface StoredBlob {
  readonly encoding: number;
  /** In bytes, of the content. */
  readonly rawLength: number;
  readonly stored: Buffer;
}

/** What is made of a sealed blob. Throws `damaged`. */
type Opening<T> = (place: BlobPlace, sealed: Buffer) => T;
type Use<T> = (position: number, content: T | Error) => void | Promise<void>;

/** Which packs may hold a blob, by number. */
export interface PacksByBlob {
  packsOf(id: Buffer): Iterable<number>;
}

export interface BlobReaderOptions extends OpenPacksOptions {
  readonly index: PacksByBlob;
}

export class BlobReader {
  readonly #options: BlobReaderOptions;
  readonly #reach: Reach;
  readonly #memory: ReadMemory;
  readonly #packs: OpenPacks;
  readonly #openContent: Opening<Buffer> = ({ pack, entry }, sealed) =>
    openBlob(this.#options.keys, pack.objectKey, entry, sealed, pack.id);

  constructor(options: BlobReaderOptions) {
    this.#options = options;
    this.#reach = options.reach ?? nearReach;
    this.#memory = options.memory ?? noMemory;
    this.#packs = new OpenPacks(options);
  }

  /** The content of one blob. Throws `damaged` (also when it is nowhere) or a storage error. */
  async read(kind: BlobKind, id: Buffer, options?: CallOptions): Promise<Buffer> {
    return await this.#readAnywhere(kind, id, this.#openContent, options);
  }

  async #readAnywhere<T>(kind: BlobKind, id: Buffer, opening: Opening<T>, options?: CallOptions): Promise<T> {
    let failure: Error | undefined;
    for await (const place of this.#places(kind, id, options)) {
      try {
        return await this.#openAt(place, opening, options);
      } catch (error) {
        failure ??= toError(error);
      }
    }
    throw failure ?? missingBlob(id);
  }

  /** From what is kept in memory if that will do, else from the storage. */
  async #openAt<T>(place: BlobPlace, opening: Opening<T>, options?: CallOptions): Promise<T> {
    try {
      if (place.entry.sealedLength <= smallRead)
        return opening(place, await this.#packs.readKept(place.pack, place.entry, options));
    } catch (error) {
      if (isStillpointError(error, "cancelled")) throw error;
    }
    return opening(place, await this.#readSealed(place, options));
  }

  /**
   * Reads many blobs, several at a time; calls `use` for each id of the list, in no particular order, with the content or
   * the error that kept it from being read. Throws only what `use` throws, or `cancelled`.
   */
  async readMany(kind: BlobKind, ids: readonly Buffer[], use: Use<Buffer>, options?: CallOptions): Promise<void> {
    await this.#readEach(kind, ids, this.#openContent, use, options);
  }

  /** Like `readMany`, without decoding. */
  async readManyStored(
    kind: BlobKind,
    ids: readonly Buffer[],
    use: Use<StoredBlob>,
    options?: CallOptions,
  ): Promise<void> {
    await this.#readEach(kind, ids, openStoredBlob, use, options);
  }

  async #readEach<T>(
    kind: BlobKind,
    ids: readonly Buffer[],
    opening: Opening<T>,
    use: Use<T>,
    options?: CallOptions,
  ): Promise<void> {
    const portions = ahead(this.#portions(kind, ids, options), {
      begin: async (portion) => {
        if ("lost" in portion || portion.bytes !== undefined) return portion;
        return { ...portion, bytes: await this.#readRun(portion.pack, portion.run, options) };
      },
      costOf: (portion) => ("run" in portion ? portion.run.length : 0),
      limit: this.#reach.ahead,
    });
    for await (const portion of portions) {
      if ("run" in portion) {
        await this.#openRun(kind, portion, opening, use, options);
        if (portion.bytes !== undefined) this.#memory.giveBack(portion.bytes);
      } else {
        for (const position of portion.lost)
          await use(position, await this.#elsewhere(kind, ids[position] as Buffer, opening, options));
      }
    }
  }

  /** What to read, pack by pack, which are opened ahead. */
  async *#portions(kind: BlobKind, ids: readonly Buffer[], options?: CallOptions): AsyncGenerator<Portion> {
    const packs = ahead(this.#byPack(ids), {
      begin: async (group) => await this.#openFor(group, options),
      costOf: (group) => this.#wholeLength(group) ?? this.#reach.ahead / packsAhead,
      limit: this.#reach.ahead,
    });
    for await (const { group, pack, whole } of packs) {
      const found: WantedBlob[] = [];
      const lost: number[] = [];
      for (const position of group.positions) {
        const entry = pack?.table.find(kind, ids[position] as Buffer);
        if (entry === undefined) lost.push(position);
        else found.push({ position, entry });
      }
      if (lost.length > 0) yield { lost };
      if (pack === undefined || found.length === 0) continue;
      if (whole !== undefined) yield { pack, run: { blobs: found, offset: 0, length: whole.length }, bytes: whole };
      else for (const run of runsOf(found, this.#reach)) yield { pack, run, bytes: undefined };
    }
  }

  /** The number of the pack that a blob is read from if it can be; undefined when the index names none. */
  packOf(id: Buffer): number | undefined {
    const [number] = this.#options.index.packsOf(id);
    return number;
  }

  /** The ids, by the pack they are read from. */
  #byPack(ids: readonly Buffer[]): PackGroup[] {
    const groups = new Map<number | undefined, number[]>();
    for (const [position, id] of ids.entries()) {
      const number = this.packOf(id);
      const positions = groups.get(number);
      if (positions === undefined) groups.set(number, [position]);
      else positions.push(position);
    }
    return [...groups].map(([number, positions]) => ({ number, positions }));
  }

  /** Of the pack, in bytes, if it is to be read as a whole. */
  #wholeLength({ number, positions }: PackGroup): number | undefined {
    const pack = number === undefined ? undefined : this.#options.packs.get(number);
    return pack !== undefined && isReadWhole(pack, positions.length, this.#reach) ? pack.size : undefined;
  }

  async #openFor(group: PackGroup, options?: CallOptions): Promise<PackRead> {
    const { number } = group;
    let whole: Buffer | undefined;
    const take = this.#wholeLength(group) === undefined ? undefined : (bytes: Buffer) => void (whole = bytes);
    try {
      const pack = number === undefined ? undefined : await this.#packs.open(number, options, take);
      return { group, pack, whole };
    } catch (error) {
      return notCancelled(error, { group, pack: undefined, whole: undefined });
    }
  }

  async #readSealed(place: BlobPlace, options?: CallOptions): Promise<Buffer> {
    const { entry, pack } = place;
    return await this.#options.storage.get(
      packName(pack.id),
      { offset: entry.offset, length: entry.sealedLength },
      options,
    );
  }

  /** A pack's table, which is kept for the next time. Throws `damaged` or a storage error. */
  async openPack(number: number, options?: CallOptions): Promise<OpenedPack> {
    return await this.#packs.open(number, options);
  }

  /** All places of a blob, each in a pack whose table names it in full. A pack that can't be opened is passed over while another has it. */
  async *#places(kind: BlobKind, id: Buffer, options?: CallOptions): AsyncGenerator<BlobPlace> {
    let failure: Error | undefined;
    let found = false;
    for (const number of this.#options.index.packsOf(id)) {
      try {
        const pack = await this.openPack(number, options);
        const entry = pack.table.find(kind, id);
        if (entry === undefined) continue;
        found = true;
        yield { pack, entry };
      } catch (error) {
        failure ??= toError(error);
      }
    }
    if (!found && failure !== undefined) throw failure;
  }

  /** The bytes of a run; undefined when they can't be read. */
  async #readRun({ id }: OpenedPack, { offset, length }: Run, options?: CallOptions): Promise<Buffer | undefined> {
    const into = this.#memory.take(length);
    return await this.#options.storage
      .get(packName(id), { offset, length }, { ...options, into })
      .catch((error: unknown) => notCancelled(error, undefined));
  }

  async #openRun<T>(
    kind: BlobKind,
    { pack, run, bytes }: Exclude<Portion, { lost: unknown }>,
    opening: Opening<T>,
    use: Use<T>,
    options?: CallOptions,
  ): Promise<void> {
    for (const { position, entry } of run.blobs) {
      const at = entry.offset - run.offset;
      const sealed = bytes?.subarray(at, at + entry.sealedLength);
      const content = await this.#openOrElsewhere(kind, { pack, entry }, sealed, opening, options);
      await use(position, content);
    }
  }

  /** The content; when this copy can't be opened, that of any other pack that has the blob. */
  async #openOrElsewhere<T>(
    kind: BlobKind,
    place: BlobPlace,
    sealed: Buffer | undefined,
    opening: Opening<T>,
    options?: CallOptions,
  ): Promise<T | Error> {
    try {
      if (sealed !== undefined) return opening(place, sealed);
    } catch {
      // Tried again below, from every place that has it.
    }
    return await this.#elsewhere(kind, place.entry.id, opening, options);
  }

  /** The content from any pack that has it, or the error that says why it can't be had. */
  async #elsewhere<T>(kind: BlobKind, id: Buffer, opening: Opening<T>, options?: CallOptions): Promise<T | Error> {
    try {
      return await this.#readAnywhere(kind, id, opening, options);
    } catch (error) {
      return notCancelled(error, error as Error);
    }
  }
}

const openStoredBlob: Opening<StoredBlob> = ({ pack, entry }, sealed) => ({
  encoding: entry.encoding,
  rawLength: entry.rawLength,
  stored: openStored(pack.objectKey, entry, sealed, pack.id),
});

/** Throws on when the work was cancelled; else the error counts as a fact about the blob. */
function notCancelled<T>(error: unknown, otherwise: T): T {
  if (isStillpointError(error, "cancelled") || !(error instanceof Error)) throw error;
  return otherwise;
}

export function missingBlob(id: Buffer): StillpointError {
  return new StillpointError("damaged", {
    what: `The blob ${id.toString("hex")} is in no pack`,
    safe: "Other blobs aren't touched by this.",
    next: "Run `stillpoint check`, then `stillpoint repair`.",
  });
}
