/**
 * Which pack holds a blob, in ten bytes per blob: open-addressing tables in typed arrays, shared with worker threads.
 *
 * A slot keeps 56 bits of the id and a 24-bit pack number. The slot's place gives some 20 bits more, so that an id that
 * isn't there is taken for one that is with a chance of about 1e-9 in a whole first capture of 1 TiB;
 * readers compare the full id in the pack's table. At a load of 0.85, 1 TiB of 128 KiB blocks takes 94 MiB.
 *
 * The ids aren't kept, so a table can't be rehashed; when it is full, a further one is added, a quarter as large as all before.
 */
const maxLoad = 0.85;
const smallestTable = 4096;
const maxPackNumber = 2 ** 24 - 1;

/** A table's slots as plain shared memory: what a worker thread is given. */
export interface TableMemory {
  /** Bits 64 to 95 of the id. */
  readonly low: SharedArrayBuffer;
  /** Bits 96 to 111 of the id. */
  readonly middle: SharedArrayBuffer;
  /** 24 bits of pack number, then bits 112 to 119 of the id. Pack number 0: an empty slot. */
  readonly packs: SharedArrayBuffer;
  readonly count: number;
}

class Table {
  readonly #low: Uint32Array;
  readonly #middle: Uint16Array;
  readonly #packs: Uint32Array;
  readonly memory: Omit<TableMemory, "count">;
  readonly capacity: number;
  count: number;

  constructor(memory: TableMemory) {
    this.memory = memory;
    this.#low = new Uint32Array(memory.low);
    this.#middle = new Uint16Array(memory.middle);
    this.#packs = new Uint32Array(memory.packs);
    this.capacity = Math.floor(this.#packs.length * maxLoad);
    this.count = memory.count;
  }

  static allocate(capacity: number): Table {
    const slots = Math.ceil(capacity / maxLoad) + 1;
    return new Table({
      low: new SharedArrayBuffer(slots * 4),
      middle: new SharedArrayBuffer(slots * 2),
      packs: new SharedArrayBuffer(slots * 4),
      count: 0,
    });
  }

  get byteLength(): number {
    return this.#packs.length * 10;
  }

  /** Without a generator: a capture asks once for each blob. */
  has(id: Buffer): boolean {
    const low = id.readUInt32LE(8);
    const middle = id.readUInt16LE(12);
    const high = id[14] as number;
    for (let slot = this.#home(id); ; slot = this.#after(slot)) {
      const entry = this.#packs[slot] as number;
      if (entry === 0) return false;
      if (this.#low[slot] === low && this.#middle[slot] === middle && (entry & 0xff) === high) return true;
    }
  }

  *packsOf(id: Buffer): Generator<number, undefined> {
    const low = id.readUInt32LE(8);
    const middle = id.readUInt16LE(12);
    const high = id[14] as number;
    for (let slot = this.#home(id); ; slot = this.#after(slot)) {
      const entry = this.#packs[slot] as number;
      if (entry === 0) return undefined;
      if (this.#low[slot] === low && this.#middle[slot] === middle && (entry & 0xff) === high) yield entry >>> 8;
    }
  }

  insert(id: Buffer, pack: number): void {
    let slot = this.#home(id);
    while (this.#packs[slot] !== 0) slot = this.#after(slot);
    this.#low[slot] = id.readUInt32LE(8);
    this.#middle[slot] = id.readUInt16LE(12);
    this.#packs[slot] = ((pack << 8) | (id[14] as number)) >>> 0;
    this.count += 1;
  }

  #home(id: Buffer): number {
    return Math.floor((id.readUInt32LE(0) / 2 ** 32) * this.#packs.length);
  }

  #after(slot: number): number {
    return slot + 1 === this.#packs.length ? 0 : slot + 1;
  }
}

export class BlobIndex {
  readonly #tables: Table[];

  constructor(memory: readonly TableMemory[] = []) {
    this.#tables = memory.map((table) => new Table(table));
  }

  /** An empty index with room for `expected` blobs. */
  static withRoomFor(expected: number): BlobIndex {
    const index = new BlobIndex();
    if (expected > 0) index.#tables.push(Table.allocate(Math.max(smallestTable, expected)));
    return index;
  }

  get count(): number {
    return this.#tables.reduce((sum, table) => sum + table.count, 0);
  }

  /** Bytes of memory that the tables take. */
  get byteLength(): number {
    return this.#tables.reduce((sum, table) => sum + table.byteLength, 0);
  }

  get memory(): readonly TableMemory[] {
    return this.#tables.map((table) => ({ ...table.memory, count: table.count }));
  }

  has(id: Buffer): boolean {
    return this.#tables.some((table) => table.has(id));
  }

  /** The numbers of all packs that may hold the blob. */
  *packsOf(id: Buffer): Generator<number, undefined> {
    for (const table of this.#tables) yield* table.packsOf(id);
    return undefined;
  }

  /** Adds that `pack` (1 to 2^24 - 1) holds the blob. A blob may be in several packs. */
  insert(id: Buffer, pack: number): void {
    if (pack < 1 || pack > maxPackNumber) throw new RangeError(`pack number ${String(pack)}`);
    let table = this.#tables.at(-1);
    if (table === undefined || table.count >= table.capacity) {
      table = Table.allocate(Math.max(smallestTable, Math.ceil(this.count / 4)));
      this.#tables.push(table);
    }
    table.insert(id, pack);
  }
}
