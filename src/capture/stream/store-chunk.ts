/** Storing chunks, and how their ids travel between threads. */
import type { TaskContext } from "../../repository/threads/executor.ts";
import { blobKinds, idLength } from "../../repository/format.ts";
import { hole } from "../../repository/tree/image-tree.ts";
import type { Chunk } from "../../repository/tree/stream-tree.ts";
import { longestChunk } from "./chunker.ts";

const zeros = Buffer.alloc(longestChunk);
const recordLength = idLength + 4;

/** Stores a chunk of at most `longestChunk` bytes unless it is there already, or all zeros. */
export async function storeChunk(context: TaskContext, content: Buffer): Promise<Chunk> {
  if (content.equals(zeros.subarray(0, content.length))) return { id: hole, size: content.length };
  const id = context.keys.blobId(blobKinds.data, content);
  if (!context.writer.has(id)) await context.writer.addNew(blobKinds.data, id, content);
  return { id, size: content.length };
}

/** Chunks as one run of bytes, since a thread's answer with thousands of small objects takes long to copy. */
export function joinChunks(chunks: readonly Chunk[]): Uint8Array {
  const bytes = Buffer.alloc(chunks.length * recordLength);
  for (const [position, { id, size }] of chunks.entries()) {
    id.copy(bytes, position * recordLength);
    bytes.writeUInt32BE(size, position * recordLength + idLength);
  }
  return bytes;
}

/** What `joinChunks` joined. */
export function splitChunks(joined: Uint8Array): Chunk[] {
  const bytes = Buffer.from(joined.buffer, joined.byteOffset, joined.byteLength);
  const chunks: Chunk[] = [];
  for (let at = 0; at < bytes.length; at += recordLength) {
    chunks.push({ id: bytes.subarray(at, at + idLength), size: bytes.readUInt32BE(at + idLength) });
  }
  return chunks;
}
