/** A pack's table, ready for look-ups: some 60 bytes for each blob, where objects would take 300. */
import {
  type BlobKind,
  damagedObject,
  headerLength,
  idLength,
  packTrailerLength,
  tableEntryLength,
} from "../format.ts";
import { type PackInfo, packName, type TableEntry } from "./pack.ts";

export class PackTable {
  readonly #table: Buffer;
  /** Where each blob begins in the pack. */
  readonly #offsets: Float64Array;
  /** Open addressing: number of the blob + 1, or 0. Ids are as good as random, so a part of one is a hash. Made when first needed. */
  #slots: Uint32Array | undefined;

  /** Throws `damaged` when it can't be the table of a pack of that size. */
  constructor(pack: PackInfo) {
    const { table, size, tableLength } = pack;
    this.#table = table;
    this.#offsets = new Float64Array(Math.floor(table.length / tableEntryLength));
    let offset = headerLength;
    for (let number = 0; number < this.length; number++) {
      this.#offsets[number] = offset;
      offset += table.readUInt32BE(number * tableEntryLength + 38);
    }
    if (offset + tableLength + packTrailerLength !== size || table.length % tableEntryLength !== 0) {
      throw damagedObject(packName(pack.id), "its table doesn't fit its size");
    }
  }

  /** How many blobs the pack has. */
  get length(): number {
    return this.#offsets.length;
  }

  /** The line of blob `number`, counted from 0. */
  at(number: number): TableEntry | undefined {
    if (number >= this.length) return undefined;
    const from = number * tableEntryLength;
    return {
      id: this.#table.subarray(from, from + idLength),
      kind: this.#table[from + 32] as BlobKind,
      encoding: this.#table[from + 33] as number,
      rawLength: this.#table.readUInt32BE(from + 34),
      sealedLength: this.#table.readUInt32BE(from + 38),
      offset: this.#offsets[number] as number,
      number,
    };
  }

  /** The line of a blob, when the pack has it. */
  find(kind: BlobKind, id: Buffer): TableEntry | undefined {
    const slots = (this.#slots ??= this.#makeSlots());
    for (let slot = homeOf(id, 0, slots.length); slots[slot] !== 0; slot = (slot + 1) % slots.length) {
      const number = (slots[slot] as number) - 1;
      const from = number * tableEntryLength;
      if (this.#table[from + 32] === kind && this.#table.compare(id, 0, idLength, from, from + idLength) === 0)
        return this.at(number);
    }
    return undefined;
  }

  *[Symbol.iterator](): Generator<TableEntry> {
    for (let number = 0; number < this.length; number++) yield this.at(number) as TableEntry;
  }

  #makeSlots(): Uint32Array {
    const slots = new Uint32Array(Math.ceil(this.length * 1.5) + 1);
    for (let number = 0; number < this.length; number++) {
      let slot = homeOf(this.#table, number * tableEntryLength, slots.length);
      while (slots[slot] !== 0) slot = (slot + 1) % slots.length;
      slots[slot] = number + 1;
    }
    return slots;
  }
}

function homeOf(ids: Buffer, at: number, slots: number): number {
  return ids.readUInt32LE(at + 16) % slots;
}

/** All lines of a pack's table. Throws `damaged` when it can't be the table of a pack of that size. */
export function parseTable(pack: PackInfo): TableEntry[] {
  return [...new PackTable(pack)];
}
