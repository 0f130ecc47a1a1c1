/** What every image is made of: leaves, each for a run of blocks that a thread works on. */
import type { BlobWriter } from "../../repository/blobs/blob-writer.ts";
import { blobKinds, imageBlock, imageFanOut } from "../../repository/format.ts";
import { blockCount, hole, joinNode, splitNode } from "../../repository/tree/image-tree.ts";

/** Bytes under one leaf. */
export const leafLength = imageBlock * imageFanOut;

/** The id of the node above a leaf's blocks, from their ids joined; for an image of one block, that block's. */
export async function leafOf(writer: BlobWriter, size: number, ids: Uint8Array): Promise<Buffer> {
  const blocks = splitNode(Buffer.from(ids.buffer, ids.byteOffset, ids.byteLength));
  if (blockCount(size, imageBlock) <= 1) return blocks[0] ?? hole;
  const node = joinNode(blocks);
  return node === undefined ? hole : await writer.add(blobKinds.imageNode, node);
}

/** Runs `work(0)` to `work(count - 1)`, begun in order, at most `width` at once. The first error ends it. */
export async function inOrder(count: number, width: number, work: (position: number) => Promise<void>): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: Math.min(width, count) }, lane));
}
