/** Finds and opens blobs. Reads that lie close together in a pack are made as one. */
import { isStillpointError, StillpointError, toError } from "../../errors.ts";
import { release } from "../../host/release.ts";
import type { CallOptions, Storage } from "../../storage/storage.ts";
import type { BlobIndex } from "./blob-index.ts";
import { type BlobKind, damagedObject, headerLength, packTrailerLength } from "../format.ts";
import type { KeyRing } from "../keys/key-ring.ts";
import {
  openBlob,
  openStored,
  openTable,
  type PackInfo,
  packName,
  parseTable,
  type TableEntry,
  tableLengthOf,
} from "./pack.ts";
import type { PackCatalog } from "./pack-catalog.ts";

/** Bytes between two blobs that are read along rather than skipped. */
const gapReadAlong = 64 * 1024;
const longestRead = 4 * 1024 * 1024;
/** Blobs looked for at once: each may be in another pack, whose table has to be read first. */
const locatedAtOnce = 16;
/**
 * Open packs whose tables are kept, and lines that all of these have together at most: a line takes about 300 bytes. Packs of
 * an image have some hundred lines, those of small files ten thousand and more, and those of a capture that found little new only
 * a few: an image with a thousand points is spread over as many packs.
 */
const tablesKept = 4096;
const linesKept = 2 ** 17;

export interface OpenedPack {
  readonly id: string;
  readonly objectKey: Buffer;
  readonly entries: readonly TableEntry[];
  readonly byId: ReadonlyMap<string, TableEntry>;
}

interface KeptTable {
  readonly opening: Promise<OpenedPack>;
  /** Of its table; 0 until it is read. */
  lines: number;
}

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

export interface BlobReaderOptions {
  readonly keys: KeyRing;
  readonly storage: Storage;
  readonly index: BlobIndex;
  readonly packs: PackCatalog;
}

export class BlobReader {
  readonly #options: BlobReaderOptions;
  readonly #opened = new Map<number, KeptTable>();
  #lines = 0;
  readonly #openContent: Opening<Buffer> = ({ pack, entry }, sealed) =>
    openBlob(this.#options.keys, pack.objectKey, entry, sealed, pack.id);

  constructor(options: BlobReaderOptions) {
    this.#options = options;
  }

  /** The content of one blob. Throws `damaged` (also when it is nowhere) or a storage error. */
  async read(kind: BlobKind, id: Buffer, options?: CallOptions): Promise<Buffer> {
    return await this.#readAnywhere(kind, id, this.#openContent, options);
  }

  async #readAnywhere<T>(kind: BlobKind, id: Buffer, opening: Opening<T>, options?: CallOptions): Promise<T> {
    let failure: Error | undefined;
    for await (const place of this.#places(kind, id, options)) {
      try {
        return opening(place, await this.readSealed(place, options));
      } catch (error) {
        failure ??= toError(error);
      }
    }
    throw failure ?? missing(id);
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
    const byPack = new Map<OpenedPack, WantedBlob[]>();
    for (let at = 0; at < ids.length; at += locatedAtOnce) {
      const some = ids.slice(at, at + locatedAtOnce);
      const places = await Promise.all(some.map(async (id) => await this.locate(kind, id, options)));
      for (const [offset, place] of places.entries()) {
        const position = at + offset;
        if (place instanceof Error) {
          await use(position, place);
          continue;
        }
        const wanted = byPack.get(place.pack) ?? [];
        wanted.push({ position, entry: place.entry });
        byPack.set(place.pack, wanted);
      }
    }
    const runs = [...byPack].flatMap(([pack, wanted]) => runsOf(wanted).map((blobs) => ({ pack, blobs })));
    let reading = this.#readRun(runs[0], options);
    for (const [number, run] of runs.entries()) {
      const bytes = await reading;
      // Begun before this run is opened, so that the storage and the processor are busy together.
      reading = this.#readRun(runs[number + 1], options);
      reading.catch(() => {}); // Seen at the next await; here it only must not count as unhandled.
      await this.#openRun(kind, run, bytes, opening, use, options);
    }
  }

  /** Where the blob is, or the error that says why it can't be had. */
  async locate(kind: BlobKind, id: Buffer, options?: CallOptions): Promise<BlobPlace | Error> {
    try {
      for await (const place of this.#places(kind, id, options)) return place;
      return missing(id);
    } catch (error) {
      return notCancelled(error, error as Error);
    }
  }

  /** The blob as it is stored: compressed, its seal verified. For copies to another pack or repository. */
  async readSealed(place: BlobPlace, options?: CallOptions): Promise<Buffer> {
    const { entry, pack } = place;
    return await this.#options.storage.get(
      packName(pack.id),
      { offset: entry.offset, length: entry.sealedLength },
      options,
    );
  }

  /** Opens a pack's table, from the storage: header and end, two small reads. Kept for the next time. */
  async openPack(number: number, options?: CallOptions): Promise<OpenedPack> {
    const known = this.#opened.get(number);
    if (known !== undefined) return await known.opening;
    const kept: KeptTable = { opening: this.#open(number, options), lines: 0 };
    this.#opened.set(number, kept);
    try {
      const opened = await kept.opening;
      kept.lines = opened.entries.length;
      this.#lines += kept.lines;
      this.#dropTables(number);
      return opened;
    } catch (error) {
      this.#opened.delete(number);
      throw error;
    }
  }

  /** The oldest first, but not the newest, however long, nor those still being read. */
  #dropTables(newest: number): void {
    for (const [number, { lines }] of this.#opened) {
      if (this.#opened.size <= tablesKept && this.#lines <= linesKept) return;
      if (number === newest || lines === 0) continue;
      this.#opened.delete(number);
      this.#lines -= lines;
    }
  }

  async #open(number: number, options?: CallOptions): Promise<OpenedPack> {
    const { keys, storage, packs } = this.#options;
    const { id, size, tableLength } = packs.get(number);
    return (await readPack(keys, storage, { id, size, tableLength }, options)).opened;
  }

  /** All places of a blob, each in a pack whose table names it in full. A pack that can't be opened is passed over while another has it. */
  async *#places(kind: BlobKind, id: Buffer, options?: CallOptions): AsyncGenerator<BlobPlace> {
    const key = id.toString("latin1");
    let failure: Error | undefined;
    let found = false;
    for (const number of this.#options.index.packsOf(id)) {
      try {
        const pack = await this.openPack(number, options);
        const entry = pack.byId.get(key);
        if (entry === undefined || entry.kind !== kind) continue;
        found = true;
        yield { pack, entry };
      } catch (error) {
        failure ??= toError(error);
      }
    }
    if (!found && failure !== undefined) throw failure;
  }

  /** The bytes of a run; undefined when they can't be read. */
  async #readRun(run: Run | undefined, options?: CallOptions): Promise<Buffer | undefined> {
    if (run === undefined) return undefined;
    const { offset, length } = extentOf(run);
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
    if (bytes !== undefined) release(bytes);
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
    try {
      return await this.#readAnywhere(kind, place.entry.id, opening, options);
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

function missing(id: Buffer): StillpointError {
  return new StillpointError("damaged", {
    what: `The blob ${id.toString("hex")} is in no pack`,
    safe: "Other blobs aren't touched by this.",
    next: "Run `stillpoint check`, then `stillpoint repair`.",
  });
}

/**
 * Reads what a pack says of itself: header and end. `tableLength` is read from the pack when it isn't known.
 * Throws `damaged` or a storage error.
 */
export async function readPack(
  keys: KeyRing,
  storage: Storage,
  pack: { readonly id: string; readonly size: number; readonly tableLength?: number },
  options?: CallOptions,
): Promise<{ readonly info: PackInfo; readonly opened: OpenedPack }> {
  const name = packName(pack.id);
  const { id, size } = pack;
  if (size < headerLength + packTrailerLength) throw damagedObject(name, "it is too short for a pack");
  const header = await storage.get(name, { offset: 0, length: headerLength }, options);
  const trailerAt = { offset: size - packTrailerLength, length: packTrailerLength };
  const tableLength = pack.tableLength ?? tableLengthOf(await storage.get(name, trailerAt, options), name, size);
  const endLength = tableLength + packTrailerLength;
  const end = await storage.get(name, { offset: size - endLength, length: endLength }, options);
  const info = openTable(keys, id, size, header, end);
  const entries = parseTable(info);
  const byId = new Map(entries.map((entry) => [entry.id.toString("latin1"), entry]));
  return { info, opened: { id, objectKey: keys.objectKey(header), entries, byId } };
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
