/** An image of a recovery point, read at random: blocks are found by its tree when they are asked for. */
import { unlessCancelled } from "../../host/cancel.ts";
import { blobKinds, damagedObject, idLength, imageFanOut } from "../../repository/format.ts";
import { hole, type ImageTree, isHole } from "../../repository/tree/image-tree.ts";
import type { BlobCache } from "./blob-cache.ts";
import { ReadAhead } from "./read-ahead.ts";

/** A range of an image, in bytes, that holds data or only zeros. */
export interface ImageRun {
  readonly length: number;
  readonly hole: boolean;
}

/** Blocks under one node of depth 1, or under a hole anywhere above. */
interface Leaf {
  readonly first: number;
  readonly end: number;
  /** The ids of the blocks, one after the other; undefined for holes only. */
  readonly ids: Buffer | undefined;
}

/** How much is read when less was asked for, in bytes. */
export interface ReadAround {
  /** Of a reader in sequence: before it. */
  readonly ahead: number;
  /** Of one that jumps about: the part of the image, by a multiple of this, that a block lies in; 0 for the block alone. */
  readonly about: number;
}

export const nearAround: ReadAround = { ahead: 8 * 1024 * 1024, about: 0 };
/** What lies near is wanted soon, and on a line costs less than a further round trip. */
export const farAround: ReadAround = { ahead: 32 * 1024 * 1024, about: 1024 * 1024 };

/** One description of runs looks at this many leaves at most, each of 32 MiB or more: whoever wants more asks again. */
const mostLeaves = 128;

export class ImageSource {
  /** In bytes. */
  readonly size: number;
  readonly #image: ImageTree;
  readonly #cache: BlobCache;
  readonly #blocks: number;
  readonly #about: number;
  readonly #readAhead: ReadAhead;

  constructor(image: ImageTree, cache: BlobCache, { ahead, about }: ReadAround = nearAround) {
    this.size = image.size;
    this.#image = image;
    this.#cache = cache;
    this.#blocks = Math.ceil(image.size / image.block);
    this.#about = about;
    this.#readAhead = new ReadAhead(async (offset, length) => await this.#prepare(offset, length), ahead);
  }

  /**
   * `length` bytes from `offset` on, within the size; undefined when all are zeros. Not to be written to. Throws `damaged`, a storage
   * error, or `cancelled`; the signal ends the waiting, while what is being read is kept for others.
   */
  async read(offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array | undefined> {
    this.#readAhead.note(offset, length);
    return await unlessCancelled(this.#read(offset, length), signal);
  }

  /** What is data and what isn't, from `offset` on, at least one run; stops early in an image of very many. Throws as `read` does. */
  async runs(offset: number, length: number, signal?: AbortSignal): Promise<readonly ImageRun[]> {
    return await unlessCancelled(this.#runs(offset, length), signal);
  }

  async #read(offset: number, length: number): Promise<Uint8Array | undefined> {
    const { block } = this.#image;
    const first = Math.floor(offset / block);
    const ids = await this.#idsOf(first, Math.ceil((offset + length) / block));
    if (ids.every(isHole)) return undefined;
    if (this.#about > 0 && ids.some((id) => !isHole(id) && !this.#cache.has(blobKinds.data, id))) {
      // What can't be read about it is for whoever asks for that to hear of.
      await this.#beginAbout(offset, length).catch(() => undefined);
    }
    const contents = await this.#contentsOf(first, ids);
    const [only] = contents;
    if (contents.length === 1 && only !== undefined) return only.subarray(offset - first * block).subarray(0, length);
    const result = Buffer.alloc(length);
    for (const [number, content] of contents.entries()) {
      const at = (first + number) * block - offset;
      content?.copy(result, Math.max(0, at), Math.max(0, -at));
    }
    return result;
  }

  /** Undefined for holes. */
  async #contentsOf(first: number, ids: readonly Buffer[]): Promise<(Buffer | undefined)[]> {
    const solid = [...ids.entries()].filter(([, id]) => !isHole(id));
    const wanted = solid.map(([, id]) => id);
    const read = await this.#cache.read(blobKinds.data, wanted);
    const contents = Array.from<Buffer | undefined>({ length: ids.length });
    for (const [position, [number, id]] of solid.entries()) {
      const content = read[position] as Buffer;
      const { size, block } = this.#image;
      if (content.length !== Math.min(block, size - (first + number) * block))
        throw damagedObject(`of the block ${id.toString("hex")}`, "it hasn't the length of its place in the image");
      contents[number] = content;
    }
    return contents;
  }

  async #idsOf(first: number, end: number): Promise<Buffer[]> {
    const ids: Buffer[] = [];
    for (let block = first; block < end; ) {
      const leaf = await this.#leafOf(block);
      for (const stop = Math.min(end, leaf.end); block < stop; block++) ids.push(idIn(leaf, block));
    }
    return ids;
  }

  async #leafOf(block: number): Promise<Leaf> {
    let ids: Buffer = Buffer.from(this.#image.root, "hex");
    let first = 0;
    let span = imageFanOut ** this.#image.depth;
    for (let depth = this.#image.depth; depth > 0; depth--) {
      const below = span / imageFanOut;
      const id = idIn({ first: Math.floor(first / span), ids }, Math.floor(block / span));
      first = Math.floor(block / span) * span;
      const end = Math.min(this.#blocks, first + span);
      if (isHole(id)) return { first, end, ids: undefined };
      ids = await this.#node(id, Math.ceil((end - first) / below));
      span = below;
    }
    return { first, end: Math.min(this.#blocks, first + ids.length / idLength), ids };
  }

  async #node(id: Buffer, children: number): Promise<Buffer> {
    const [node] = await this.#cache.read(blobKinds.imageNode, [id]);
    if (node?.length === children * idLength) return node;
    throw damagedObject(
      `of the image node ${id.toString("hex")}`,
      "it has another number of children than its size asks for",
    );
  }

  async #runs(offset: number, length: number): Promise<ImageRun[]> {
    const { block } = this.#image;
    const runs: { length: number; hole: boolean }[] = [];
    const end = offset + length;
    let at = offset;
    for (let leaves = 0; at < end && leaves < mostLeaves; ) {
      const leaf = await this.#leafOf(Math.floor(at / block));
      if (leaf.ids !== undefined) leaves += 1;
      const steps = leaf.ids === undefined ? 1 : leaf.end - Math.floor(at / block);
      for (let step = 0; step < steps && at < end; step++) {
        const number = Math.floor(at / block);
        const empty = isHole(idIn(leaf, number));
        const next = Math.min(end, (leaf.ids === undefined ? leaf.end : number + 1) * block);
        const last = runs.at(-1);
        if (last?.hole === empty) last.length += next - at;
        else runs.push({ length: next - at, hole: empty });
        at = next;
      }
    }
    return runs;
  }

  async #prepare(offset: number, length: number): Promise<void> {
    await this.#cache.prepare(blobKinds.data, await this.#solidIds(offset, length));
  }

  /** Begins to read what is asked for together with what lies about it, so that it comes in one piece. */
  async #beginAbout(offset: number, length: number): Promise<void> {
    const from = offset - (offset % this.#about);
    const ids = await this.#solidIds(from, Math.ceil((offset + length - from) / this.#about) * this.#about);
    void this.#cache.prepare(blobKinds.data, ids);
  }

  async #solidIds(offset: number, length: number): Promise<Buffer[]> {
    const { block } = this.#image;
    const end = Math.min(this.#blocks, Math.ceil((offset + length) / block));
    return (await this.#idsOf(Math.floor(offset / block), end)).filter((id) => !isHole(id));
  }
}

function idIn({ first, ids }: Pick<Leaf, "first" | "ids">, number: number): Buffer {
  return ids === undefined ? hole : ids.subarray((number - first) * idLength, (number - first + 1) * idLength);
}
