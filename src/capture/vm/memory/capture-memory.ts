/** The state of a virtual machine, from the spool into the repository: an image for each RAM block, and what is around them. */
import { open } from "node:fs/promises";
import { throwIfCancelled } from "../../../host/cancel.ts";
import {
  type ByteRange,
  type SavedBlock,
  type SavedState,
  type SplitState,
  streamInvalid,
} from "../../../qemu/stream/saved-state.ts";
import { blobKinds, imageBlock, imageFanOut } from "../../../repository/format.ts";
import type { Machine } from "../../../repository/points/machine.ts";
import type { ImagePart, Part, StreamPart } from "../../../repository/points/manifest.ts";
import { blockCount, hole, joinNode, splitNode, writeImageTree } from "../../../repository/tree/image-tree.ts";
import type { CaptureContext } from "../../capture.ts";
import { storeStream } from "../../stream/store-stream.ts";
import { captureMemoryRegion } from "./capture-memory-region-task.ts";

export interface CapturedMemory {
  readonly parts: readonly Part[];
  /** As the manifest has it. */
  readonly memory: Machine["memory"];
  /** Bytes of RAM and state that were read; zeros needn't be. */
  readonly read: number;
}

const regionLength = imageBlock * imageFanOut;
const pieceLength = 1024 * 1024;

/**
 * Stores what `parseStream` has found in the spool. Blocks of RAM that are as in an earlier point, wherever they were, are shared.
 *
 * @param advance hears of more bytes done, `stateSize` in all
 * @throws StillpointError `stream_invalid`, `cancelled`, or a storage error
 */
export async function captureMemory(
  context: CaptureContext,
  spool: { readonly path: string },
  saved: SavedState,
  advance: (bytes: number) => void,
): Promise<CapturedMemory> {
  const capture = new MemoryCapture(context, spool.path, advance);
  if (saved.opaque !== undefined) {
    const stream = await capture.range("state/stream", { offset: 0, length: saved.end });
    return { parts: [stream], memory: { page: 4096, blocks: [] }, read: saved.end };
  }
  const { head, tail, page } = saved;
  const parts: Part[] = [await capture.range("state/head", head)];
  for (const [number, block] of saved.blocks.entries())
    parts.push(await capture.block(`memory/${number}`, block, saved));
  parts.push(await capture.range("state/tail", tail));
  const blocks = saved.blocks.map(({ id, size }) => ({ id, size }));
  return { parts, memory: { page, blocks }, read: capture.read };
}

/** Bytes that a point with this state protects. */
export function stateSize(saved: SavedState): number {
  if (saved.opaque !== undefined) return saved.end;
  return saved.blocks.reduce((sum, { size }) => sum + size, saved.head.length + saved.tail.length);
}

class MemoryCapture {
  readonly #context: CaptureContext;
  readonly #path: string;
  readonly #advance: (bytes: number) => void;
  read = 0;

  constructor(context: CaptureContext, path: string, advance: (bytes: number) => void) {
    this.#context = context;
    this.#path = path;
    this.#advance = advance;
  }

  async range(name: string, range: ByteRange): Promise<StreamPart> {
    this.read += range.length;
    let before = 0;
    const tree = await storeStream(this.#context.session, readRange(this.#path, range), (done) => {
      this.#advance(done - before);
      before = done;
    });
    return { name, kind: "stream", ...tree };
  }

  async block(name: string, { size, positions }: SavedBlock, { page }: SplitState): Promise<ImagePart> {
    const { session, signal } = this.#context;
    const leaves = Array.from({ length: Math.ceil(size / regionLength) }, () => hole);
    let next = 0;
    const lane = async (): Promise<void> => {
      while (next < leaves.length) {
        throwIfCancelled(signal);
        const region = next++;
        const length = Math.min(regionLength, size - region * regionLength);
        const places = positions.slice((region * regionLength) / page, length / page);
        if (places !== undefined) leaves[region] = await this.#leaf(size, { page, length, positions: places });
        this.#advance(length);
      }
    };
    await Promise.all(Array.from({ length: session.executor.parallel }, lane));
    return { name, kind: "image", ...(await writeImageTree(session.writer, size, imageBlock, leaves)) };
  }

  /** The id of the node above the region's blocks; for a RAM block of one image block, that block's. */
  async #leaf(
    size: number,
    region: { readonly page: number; readonly length: number; readonly positions: Float64Array },
  ): Promise<Buffer> {
    const { session } = this.#context;
    const { ids } = await session.run(captureMemoryRegion, { path: this.#path, ...region });
    this.read += region.positions.reduce((sum, position) => sum + (position === 0 ? 0 : region.page), 0);
    const blocks = splitNode(Buffer.from(ids.buffer, ids.byteOffset, ids.byteLength));
    if (blockCount(size, imageBlock) <= 1) return blocks[0] ?? hole;
    const node = joinNode(blocks);
    return node === undefined ? hole : await session.writer.add(blobKinds.imageNode, node);
  }
}

async function* readRange(path: string, { offset, length }: ByteRange): AsyncGenerator<Buffer> {
  await using file = await open(path, "r");
  for (let at = 0; at < length; ) {
    const piece = Buffer.allocUnsafe(Math.min(pieceLength, length - at));
    const { bytesRead } = await file.read(piece, 0, piece.length, offset + at);
    if (bytesRead === 0) throw streamInvalid("its file became shorter while it was read");
    yield piece.subarray(0, bytesRead);
    at += bytesRead;
  }
}
