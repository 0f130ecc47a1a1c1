/** Finds and opens blobs. Reads that lie close together in a pack are made as one. */
import { isStillpointError, StillpointError, toError } from "../../errors.ts";
import { release } from "../../host/release.ts";
import type { CallOptions } from "../../storage/storage.ts";
import type { BlobIndex } from "./blob-index.ts";
import type { BlobKind } from "../format.ts";
import { type OpenedPack, OpenPacks, type OpenPacksOptions } from "./open-packs.ts";
import { openBlob, openStored, packName, type TableEntry } from "./pack.ts";

/** Bytes between two blobs that are read along rather than skipped. */
const gapReadAlong = 64 * 1024;
const longestRead = 4 * 1024 * 1024;
/** Packs opened ahead of the one that is being read. */
const packsAhead = 8;
/** Sealed blobs up to this length, in bytes, when read singly, are read together with what follows them. */
const smallRead = 64 * 1024;

/** Where a blob is. */
export interface BlobPlace {
  readonly pack: OpenedPack;
  readonly entry: TableEntry;
}

interface WantedBlob {
  /** In the list that was asked for. */
  readonly position: number;
  readonly entry: TableEntry;
}

/** Blobs of a pack, never none, that lie so close together that they are read as one. */
interface Run {
  readonly pack: OpenedPack;
  readonly blobs: readonly WantedBlob[];
}

/** Positions in a list of ids; the pack is undefined when the index has none of them. */
interface PackGroup {
  readonly number: number | undefined;
  readonly positions: readonly number[];
}

interface PackRead {
  readonly pack: OpenedPack;
  /** All of it, when it had to be read as a whole to be opened. */
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

export interface BlobReaderOptions extends OpenPacksOptions {
  readonly index: BlobIndex;
}

export class BlobReader {
  readonly #options: BlobReaderOptions;
  readonly #packs: OpenPacks;
  readonly #openContent: Opening<Buffer> = ({ pack, entry }, sealed) =>
    openBlob(this.#options.keys, pack.objectKey, entry, sealed, pack.id);

  constructor(options: BlobReaderOptions) {
    this.#options = options;
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
    const groups = this.#byPack(ids);
    const ahead: Promise<PackRead | undefined>[] = [];
    for (let next = 0; next < groups.length; ) {
      while (ahead.length < packsAhead && next + ahead.length < groups.length) {
        const read = this.#openFor(groups[next + ahead.length] as PackGroup, options);
        read.catch(() => {}); // Seen when its turn comes; here it only must not count as unhandled.
        ahead.push(read);
      }
      const { positions } = groups[next++] as PackGroup;
      const read = await (ahead.shift() as (typeof ahead)[number]).catch((error: unknown) =>
        notCancelled(error, undefined),
      );
      const found: WantedBlob[] = [];
      for (const position of positions) {
        const id = ids[position] as Buffer;
        const entry = read?.pack.table.find(kind, id);
        if (entry !== undefined) found.push({ position, entry });
        else await use(position, await this.#elsewhere(kind, id, opening, options));
      }
      if (read !== undefined) await this.#openAll(kind, read, found, opening, use, options);
    }
  }

  /** The ids, by the first pack that the index names. */
  #byPack(ids: readonly Buffer[]): PackGroup[] {
    const groups = new Map<number | undefined, number[]>();
    for (const [position, id] of ids.entries()) {
      const [number] = this.#options.index.packsOf(id);
      const positions = groups.get(number);
      if (positions === undefined) groups.set(number, [position]);
      else positions.push(position);
    }
    return [...groups].map(([number, positions]) => ({ number, positions }));
  }

  async #openFor({ number }: PackGroup, options?: CallOptions): Promise<PackRead | undefined> {
    if (number === undefined) return undefined;
    let whole: Buffer | undefined;
    const pack = await this.#packs.open(number, options, (bytes) => (whole = bytes));
    return { pack, whole };
  }

  async #openAll<T>(
    kind: BlobKind,
    { pack, whole }: PackRead,
    wanted: readonly WantedBlob[],
    opening: Opening<T>,
    use: Use<T>,
    options?: CallOptions,
  ): Promise<void> {
    const runs = runsOf(wanted).map((blobs) => ({ pack, blobs }));
    let reading = this.#readRun(runs[0], whole, options);
    for (const [number, run] of runs.entries()) {
      const bytes = await reading;
      // Begun before this run is opened, so that the storage and the processor are busy together.
      reading = this.#readRun(runs[number + 1], whole, options);
      reading.catch(() => {}); // Seen at the next await; here it only must not count as unhandled.
      await this.#openRun(kind, run, bytes, opening, use, options);
      if (bytes !== undefined && whole === undefined) release(bytes);
    }
    if (whole !== undefined) release(whole);
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
  async #readRun(run: Run | undefined, whole: Buffer | undefined, options?: CallOptions): Promise<Buffer | undefined> {
    if (run === undefined) return undefined;
    const { offset, length } = extentOf(run);
    if (whole !== undefined) return whole.subarray(offset, offset + length);
    return await this.#options.storage
      .get(packName(run.pack.id), { offset, length }, options)
      .catch((error: unknown) => notCancelled(error, undefined));
  }

  async #openRun<T>(
    kind: BlobKind,
    run: Run,
    bytes: Buffer | undefined,
    opening: Opening<T>,
    use: Use<T>,
    options?: CallOptions,
  ): Promise<void> {
    const { pack, blobs } = run;
    const { offset } = extentOf(run);
    for (const { position, entry } of blobs) {
      const sealed = bytes?.subarray(entry.offset - offset, entry.offset - offset + entry.sealedLength);
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

function extentOf({ blobs }: Run): { readonly offset: number; readonly length: number } {
  const offset = blobs[0]?.entry.offset ?? 0;
  const last = blobs.at(-1)?.entry;
  return { offset, length: last === undefined ? 0 : last.offset + last.sealedLength - offset };
}

function runsOf<T extends { readonly entry: TableEntry }>(wanted: readonly T[]): T[][] {
  const runs: T[][] = [];
  let end = 0;
  let start = 0;
  for (const item of wanted.toSorted((a, b) => a.entry.offset - b.entry.offset)) {
    const itemEnd = item.entry.offset + item.entry.sealedLength;
    const run = runs.at(-1);
    if (run !== undefined && item.entry.offset - end <= gapReadAlong && itemEnd - start <= longestRead) run.push(item);
    else {
      runs.push([item]);
      start = item.entry.offset;
    }
    end = itemEnd;
  }
  return runs;
}
