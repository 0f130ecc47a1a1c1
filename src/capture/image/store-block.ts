/** Storing one block of an image. */
import { blobKinds, imageBlock } from "../../repository/format.ts";
import type { TaskContext } from "../../repository/threads/executor.ts";
import { hole } from "../../repository/tree/image-tree.ts";

const zeros = Buffer.alloc(imageBlock);

/**
 * Stores a block of at most `imageBlock` bytes, and returns its id.
 *
 * Each block is looked up, also one that the previous point has in the same place: were that one lost, it would otherwise be
 * missing in every point from now on, though the source still has it. To look costs a hundredth of what the id does.
 */
export async function storeBlock(context: TaskContext, block: Buffer): Promise<Buffer> {
  if (block.equals(zeros.subarray(0, block.length))) return hole;
  const id = context.keys.blobId(blobKinds.data, block);
  if (!context.writer.has(id)) await context.writer.addNew(blobKinds.data, id, block);
  return id;
}
