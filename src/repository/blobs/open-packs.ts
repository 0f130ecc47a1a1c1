/** Packs that are open for reading: their tables, and what was read along with something small. */
import { isStillpointError } from "../../errors.ts";
import type { CallOptions, Storage } from "../../storage/storage.ts";
import { damagedObject, headerLength, packTrailerLength } from "../format.ts";
import type { KeyRing } from "../keys/key-ring.ts";
import { openTable, type PackEnds, type PackInfo, packName, type TableEntry, tableLengthOf } from "./pack.ts";
import type { PackCatalog } from "./pack-catalog.ts";
import { PackTable } from "./pack-table.ts";
import { noMemory, type ReadMemory } from "./read-memory.ts";
import { nearReach, type Reach, smallPack } from "./runs.ts";

/**
 * Open packs whose tables are kept, and lines that all of these have together at most: a line takes about 60 bytes. Packs of
 * an image have some hundred lines, those of small files ten thousand and more, and those of a capture that found little new only
 * a few: an image with a thousand points is spread over as many packs.
 */
const tablesKept = 4096;
const linesKept = 2 ** 18;
const windowsKept = 16;

export interface OpenedPack {
  readonly id: string;
  /** Of the whole pack, in bytes. */
  readonly size: number;
  readonly objectKey: Buffer;
  readonly table: PackTable;
}

interface KeptPack {
  readonly opening: Promise<OpenedPack>;
  /** Of its table; 0 until it is read. */
  lines: number;
}

interface Window {
  readonly offset: number;
  readonly bytes: Buffer;
}

export interface OpenPacksOptions {
  readonly keys: KeyRing;
  readonly storage: Pick<Storage, "get">;
  readonly packs: PackCatalog;
  /** By default that of a storage on this machine. */
  readonly reach?: Reach | undefined;
  /** For long reads; by default each has memory of its own. */
  readonly memory?: ReadMemory | undefined;
}

export class OpenPacks {
  readonly #options: OpenPacksOptions;
  readonly #reach: Reach;
  readonly #packs = new Map<number, KeptPack>();
  /** By pack id; the one used last is the last. */
  readonly #windows = new Map<string, Window>();
  #lines = 0;

  constructor(options: OpenPacksOptions) {
    this.#options = options;
    this.#reach = options.reach ?? nearReach;
  }

  /**
   * Opens a pack's table, which is kept for the next time. With `take`, the pack is read as a whole for it if it isn't open yet, and
   * `take` gets that. Throws `damaged` or a storage error.
   */
  async open(number: number, options?: CallOptions, take?: (pack: Buffer) => void): Promise<OpenedPack> {
    const known = this.#packs.get(number);
    if (known !== undefined) return await known.opening;
    const kept: KeptPack = { opening: this.#open(number, options, take), lines: 0 };
    this.#packs.set(number, kept);
    try {
      const opened = await kept.opening;
      kept.lines = opened.table.length;
      this.#lines += kept.lines;
      this.#drop(number);
      return opened;
    } catch (error) {
      this.#packs.delete(number);
      throw error;
    }
  }

  /** The sealed bytes of a blob, which may have been read a while ago: packs don't change, but they can be lost or mended. */
  async readKept(pack: OpenedPack, { offset, sealedLength }: TableEntry, options?: CallOptions): Promise<Buffer> {
    const kept = this.#windows.get(pack.id);
    this.#windows.delete(pack.id);
    const covers =
      kept !== undefined && offset >= kept.offset && offset + sealedLength <= kept.offset + kept.bytes.length;
    const window = covers ? kept : await this.#readWindow(pack, offset, sealedLength, options);
    this.#keep(pack.id, window);
    return window.bytes.subarray(offset - window.offset, offset - window.offset + sealedLength);
  }

  /** Those that were used longest ago go. */
  #keep(pack: string, window: Window): void {
    this.#windows.set(pack, window);
    for (const id of this.#windows.keys()) if (this.#windows.size > windowsKept) this.#windows.delete(id);
  }

  async #readWindow(pack: OpenedPack, offset: number, needed: number, options?: CallOptions): Promise<Window> {
    const length = Math.max(needed, Math.min(this.#reach.window, pack.size - offset));
    return { offset, bytes: await this.#options.storage.get(packName(pack.id), { offset, length }, options) };
  }

  /** The oldest first, but not the newest, however long, nor those still being read. */
  #drop(newest: number): void {
    for (const [number, { lines }] of this.#packs) {
      if (this.#packs.size <= tablesKept && this.#lines <= linesKept) return;
      if (number === newest || lines === 0) continue;
      this.#packs.delete(number);
      this.#lines -= lines;
    }
  }

  async #open(number: number, options?: CallOptions, take?: (pack: Buffer) => void): Promise<OpenedPack> {
    const { keys, storage, packs, memory = noMemory } = this.#options;
    const { id, size, tableLength } = packs.get(number);
    const readTable = async (): Promise<OpenedPack> =>
      (await readPack(keys, storage, { id, size, tableLength }, options)).opened;
    if (take === undefined && size > smallPack) return await readTable();
    const into = take && memory.take(size);
    let pack: Buffer;
    try {
      pack = await storage.get(packName(id), { offset: 0, length: size }, { ...options, into });
    } catch (error) {
      // A bad sector costs what lies on it, not the whole pack.
      if (take === undefined && isStillpointError(error, "storage_failed")) return await readTable();
      throw error;
    }
    const read: Read = (offset, length) => Promise.resolve(pack.subarray(offset, offset + length));
    const { opened } = openedBy(await endsOf(keys, read, { id, size, tableLength }));
    if (take === undefined) this.#keep(id, { offset: 0, bytes: pack });
    else take(pack);
    return opened;
  }
}

export interface PackToOpen {
  readonly id: string;
  readonly size: number;
  /** Read from the pack when it isn't known. */
  readonly tableLength?: number;
}

export interface ReadPack {
  readonly info: PackInfo;
  readonly opened: OpenedPack;
}

/** Reads a pack's header and end, and takes its table apart. Throws `damaged` or a storage error. */
export async function readPack(
  keys: KeyRing,
  storage: Pick<Storage, "get">,
  pack: PackToOpen,
  options?: CallOptions,
): Promise<ReadPack> {
  return openedBy(await readEnds(keys, storage, pack, options));
}

/** Header and end of a pack: in two round trips, or in one when the table's length is known. Throws `damaged` or a storage error. */
export async function readEnds(
  keys: KeyRing,
  storage: Pick<Storage, "get">,
  pack: PackToOpen,
  options?: CallOptions,
): Promise<PackEnds> {
  const read: Read = async (offset, length) => await storage.get(packName(pack.id), { offset, length }, options);
  return await endsOf(keys, read, pack);
}

type Read = (offset: number, length: number) => Promise<Buffer>;

async function endsOf(keys: KeyRing, read: Read, pack: PackToOpen): Promise<PackEnds> {
  const name = packName(pack.id);
  const { id, size } = pack;
  if (size < headerLength + packTrailerLength) throw damagedObject(name, "it is too short for a pack");
  const readEnd = async (): Promise<Buffer> => {
    const tableLength =
      pack.tableLength ?? tableLengthOf(await read(size - packTrailerLength, packTrailerLength), name, size);
    const length = tableLength + packTrailerLength;
    return await read(size - length, length);
  };
  const [header, end] = await Promise.all([read(0, headerLength), readEnd()]);
  return openTable(keys, id, size, header, end);
}

function openedBy({ info, objectKey }: PackEnds): ReadPack {
  const { id, size } = info;
  return { info, opened: { id, size, objectKey, table: new PackTable(info) } };
}
