/** Image trees: a radix tree over fixed blocks (docs/format.md section 8). */
import type { CallOptions } from "../../storage/storage.ts";
import type { BlobReader } from "../blobs/blob-reader.ts";
import type { BlobWriter } from "../blobs/blob-writer.ts";
import { blobKinds, damagedObject, idLength, imageFanOut } from "../format.ts";

/** An image's content: `size` and `block` in bytes, `root` a blob id as 64 hex digits. */
export interface ImageTree {
  readonly size: number;
  readonly block: number;
  readonly depth: number;
  readonly root: string;
}

/** The id that stands for zeros. */
export const hole: Buffer = Buffer.alloc(idLength);

export function isHole(id: Uint8Array): boolean {
  return hole.equals(id);
}

export function blockCount(size: number, block: number): number {
  return Math.ceil(size / block);
}

/** The least depth whose tree has room for that many blocks. */
function depthFor(blocks: number): number {
  let depth = 0;
  for (let room = 1; room < blocks; room *= imageFanOut) depth += 1;
  return depth;
}

/** Ids joined to a node; undefined when all are holes, so that the node is one itself. */
export function joinNode(ids: readonly Uint8Array[]): Buffer | undefined {
  return ids.every(isHole) ? undefined : Buffer.concat(ids);
}

export function splitNode(node: Buffer): Buffer[] {
  const ids: Buffer[] = [];
  for (let at = 0; at < node.length; at += idLength) ids.push(node.subarray(at, at + idLength));
  return ids;
}

/**
 * Writes the nodes above the leaves. `leaves` are the ids of the nodes of depth 1 (holes among them), in order; for an
 * image of a single block, the id of that block.
 */
export async function writeImageTree(
  writer: BlobWriter,
  size: number,
  block: number,
  leaves: readonly Buffer[],
): Promise<ImageTree> {
  const depth = depthFor(blockCount(size, block));
  let level = leaves;
  for (let d = 2; d <= depth; d++) {
    const above: Buffer[] = [];
    for (let at = 0; at < level.length; at += imageFanOut) {
      const node = joinNode(level.slice(at, at + imageFanOut));
      above.push(node === undefined ? hole : await writer.add(blobKinds.imageNode, node));
    }
    level = above;
  }
  return { size, block, depth, root: (level[0] ?? hole).toString("hex") };
}

/** A run of blocks under one node of depth 1 (or the only block of an image of depth 0). */
export interface ImageLeaf {
  /** Number of the leaf: it begins at block `leaf * 256`. */
  readonly leaf: number;
  /** The node's id: a blob of the kind image node, or data when the depth is 0. */
  readonly id: Buffer;
}

/**
 * The leaves of an image that aren't holes, in order. With `other`, only those that differ from it: equal subtrees are
 * not read. Throws `damaged` or a storage error.
 */
export async function* imageLeaves(
  reader: BlobReader,
  image: ImageTree,
  other?: ImageTree,
  options?: CallOptions,
): AsyncGenerator<ImageLeaf> {
  const comparable = other !== undefined && other.depth === image.depth && other.block === image.block;
  const blocks = blockCount(image.size, image.block);
  const root = Buffer.from(image.root, "hex");
  yield* below(image.depth, 0, root, comparable ? Buffer.from(other.root, "hex") : undefined);

  async function* below(
    depth: number,
    leaf: number,
    id: Buffer,
    otherId: Buffer | undefined,
  ): AsyncGenerator<ImageLeaf> {
    if (isHole(id) || (otherId !== undefined && id.equals(otherId))) return;
    if (depth <= 1) {
      yield { leaf, id };
      return;
    }
    const leavesPerChild = imageFanOut ** (depth - 2);
    const children = await readImageNode(reader, id, options);
    const remaining = blocks - leaf * imageFanOut;
    checkWidth(id, children.length, Math.min(imageFanOut, Math.ceil(remaining / (leavesPerChild * imageFanOut))));
    const otherIds = otherId === undefined || isHole(otherId) ? [] : await readImageNode(reader, otherId, options);
    for (const [position, child] of children.entries()) {
      yield* below(depth - 1, leaf + position * leavesPerChild, child, otherIds[position]);
    }
  }
}

/** The ids under a node of an image. */
export async function readImageNode(
  reader: Pick<BlobReader, "read">,
  id: Buffer,
  options?: CallOptions,
): Promise<Buffer[]> {
  return splitNode(await reader.read(blobKinds.imageNode, id, options));
}

/** The ids of a leaf's blocks. Throws `damaged` when the node has another number of them than the image's size asks for. */
export async function readImageLeaf(
  reader: BlobReader,
  image: ImageTree,
  leaf: ImageLeaf,
  options?: CallOptions,
): Promise<Buffer[]> {
  if (image.depth === 0) return [leaf.id];
  const ids = await readImageNode(reader, leaf.id, options);
  const expected = Math.min(imageFanOut, blockCount(image.size, image.block) - leaf.leaf * imageFanOut);
  checkWidth(leaf.id, ids.length, expected);
  return ids;
}

function checkWidth(id: Buffer, width: number, expected: number): void {
  if (width === expected) return;
  throw damagedObject(
    `of the image node ${id.toString("hex")}`,
    `it has ${String(width)} children, not ${String(expected)}`,
  );
}
