/** Which blobs are in use: a sweep's mark, in memory that a large repository can afford. */
import { BlobIndex } from "../blobs/blob-index.ts";
import { type BlobKind, blobKinds, idLength } from "../format.ts";

const maxLoad = 0.75;
const smallestSet = 1024;

/** A set of blob ids in full, 32 bytes a slot; grows by doubling. */
export class IdSet {
  #slots = Buffer.alloc(smallestSet * idLength);
  #used = new Uint8Array(smallestSet);
  #count = 0;

  get count(): number {
    return this.#count;
  }

  has(id: Buffer): boolean {
    return this.#used[this.#find(id)] === 1;
  }

  /** Returns whether it was new. */
  add(id: Buffer): boolean {
    const slot = this.#find(id);
    if (this.#used[slot] === 1) return false;
    id.copy(this.#slots, slot * idLength, 0, idLength);
    this.#used[slot] = 1;
    this.#count += 1;
    if (this.#count > this.#used.length * maxLoad) this.#grow();
    return true;
  }

  /** The id's slot, or the free one where it belongs. The ids are keyed hashes, so any of their bits will do. */
  #find(id: Buffer): number {
    const mask = this.#used.length - 1;
    let slot = id.readUInt32LE(0) & mask;
    while (this.#used[slot] === 1 && id.compare(this.#slots, slot * idLength, (slot + 1) * idLength) !== 0) {
      slot = (slot + 1) & mask;
    }
    return slot;
  }

  #grow(): void {
    const slots = this.#slots;
    const used = this.#used;
    this.#slots = Buffer.alloc(slots.length * 2);
    this.#used = new Uint8Array(used.length * 2);
    this.#count = 0;
    for (let slot = 0; slot < used.length; slot++) {
      if (used[slot] === 1) this.add(slots.subarray(slot * idLength, (slot + 1) * idLength));
    }
  }
}

/**
 * The blobs in use. Nodes are kept in full, since one taken for another would hide all that is below it. Of data blobs,
 * a hundred times as many, a part of the id is kept (`BlobIndex`): one taken for another, at worst, stays when it could go.
 */
export class MarkSet {
  readonly #nodes = new IdSet();
  readonly #data: BlobIndex;

  constructor(expected = 0) {
    this.#data = BlobIndex.withRoomFor(expected);
  }

  get count(): number {
    return this.#nodes.count + this.#data.count;
  }

  has(kind: BlobKind, id: Buffer): boolean {
    return kind === blobKinds.data ? this.#data.has(id) : this.#nodes.has(id);
  }

  /** Returns whether it was new. */
  add(kind: BlobKind, id: Buffer): boolean {
    if (kind !== blobKinds.data) return this.#nodes.add(id);
    if (this.#data.has(id)) return false;
    this.#data.insert(id, 1);
    return true;
  }
}
