/** Stream trees: chunks in order, for files and command output (docs/format.md section 8). */
import type { CallOptions } from "../../storage/storage.ts";
import type { BlobReader } from "../blobs/blob-reader.ts";
import type { BlobAdder } from "../blobs/blob-writer.ts";
import { blobKinds, damagedObject, idLength, streamFanOut } from "../format.ts";
import { hole, isHole } from "./image-tree.ts";

/** A stream's content: `size` in bytes, `root` a blob id as 64 hex digits. */
export interface StreamTree {
  readonly size: number;
  readonly depth: number;
  readonly root: string;
}

/** A chunk, or a child of a stream node: `size` in bytes. */
export interface Chunk {
  readonly id: Buffer;
  readonly size: number;
}

/** A chunk with its place in the stream, in bytes. */
export interface PlacedChunk extends Chunk {
  readonly offset: number;
}

const entryLength = idLength + 8;

/** Writes the nodes above the chunks. */
export async function writeStreamTree(writer: BlobAdder, chunks: readonly Chunk[]): Promise<StreamTree> {
  let level = chunks;
  let depth = 0;
  while (level.length > 1) {
    const above: Chunk[] = [];
    for (let at = 0; at < level.length; at += streamFanOut)
      above.push(await writeNode(writer, level.slice(at, at + streamFanOut)));
    level = above;
    depth += 1;
  }
  const top = level[0] ?? { id: hole, size: 0 };
  return { size: top.size, depth, root: top.id.toString("hex") };
}

async function writeNode(writer: BlobAdder, children: readonly Chunk[]): Promise<Chunk> {
  const size = children.reduce((sum, child) => sum + child.size, 0);
  if (children.every((child) => isHole(child.id))) return { id: hole, size };
  const node = Buffer.alloc(children.length * entryLength);
  for (const [position, child] of children.entries()) {
    child.id.copy(node, position * entryLength);
    node.writeBigUInt64BE(BigInt(child.size), position * entryLength + idLength);
  }
  return { id: await writer.add(blobKinds.streamNode, node), size };
}

/** The children of a stream node. Throws `damaged` when their sizes don't make `size`. */
export function parseStreamNode(node: Buffer, id: Buffer, size: number): Chunk[] {
  const children: Chunk[] = [];
  let sum = 0;
  for (let at = 0; at + entryLength <= node.length; at += entryLength) {
    const child = { id: node.subarray(at, at + idLength), size: Number(node.readBigUInt64BE(at + idLength)) };
    children.push(child);
    sum += child.size;
  }
  if (sum !== size || node.length % entryLength !== 0) {
    throw damagedObject(
      `of the stream node ${id.toString("hex")}`,
      `it holds ${String(sum)} bytes, not ${String(size)}`,
    );
  }
  return children;
}

/** The chunks of a stream, in order; holes are yielded too. Throws `damaged` or a storage error. */
export async function* streamChunks(
  reader: BlobReader,
  stream: StreamTree,
  options?: CallOptions,
): AsyncGenerator<PlacedChunk> {
  const root = Buffer.from(stream.root, "hex");
  if (stream.size > 0) yield* below(stream.depth, 0, { id: root, size: stream.size });

  async function* below(depth: number, offset: number, chunk: Chunk): AsyncGenerator<PlacedChunk> {
    if (depth === 0 || isHole(chunk.id)) {
      yield { ...chunk, offset };
      return;
    }
    const node = await reader.read(blobKinds.streamNode, chunk.id, options);
    let at = offset;
    for (const child of parseStreamNode(node, chunk.id, chunk.size)) {
      yield* below(depth - 1, at, child);
      at += child.size;
    }
  }
}
