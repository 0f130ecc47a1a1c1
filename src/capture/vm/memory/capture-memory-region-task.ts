/** A stretch of a guest's RAM, in a worker thread: its pages gathered from the spool into blocks, hashed, looked up, stored. */
import { closeSync, constants, openSync, readSync } from "node:fs";
import { throwIfCancelled } from "../../../host/cancel.ts";
import { streamInvalid } from "../../../qemu/stream/saved-state.ts";
import { blobKinds, idLength, imageBlock } from "../../../repository/format.ts";
import type { Task, TaskContext } from "../../../repository/threads/executor.ts";

export interface MemoryRegionInput {
  /** The spool. */
  readonly path: string;
  /** Bytes of a page. */
  readonly page: number;
  /** Bytes of the region. */
  readonly length: number;
  /** Where the content of each page begins in the spool; 0, or nothing, for a page of zeros. */
  readonly positions: Float64Array;
}

export interface MemoryRegionOutput {
  /** The ids of the region's blocks, joined. */
  readonly ids: Uint8Array;
}

/** Bytes read at once where pages follow one another. */
const longestRun = 1024 * 1024;
/** Headers of pages between two that are read together, and at most about as many bytes for nothing as a page has. */
const widestGap = 4096;
/** A thread runs one task at a time, so these serve all of them. */
const run = Buffer.allocUnsafeSlow(longestRun);
const block = Buffer.allocUnsafeSlow(imageBlock);
const zeros = Buffer.alloc(imageBlock);

export const captureMemoryRegion: Task<MemoryRegionInput, MemoryRegionOutput> = {
  name: "capture-memory-region",
  async run(context, input) {
    const fd = openSync(input.path, constants.O_RDONLY | constants.O_NOFOLLOW);
    try {
      return { ids: await captureBlocks(context, input, new PageReader(fd, input)) };
    } finally {
      closeSync(fd);
    }
  },
};

/** Every block is looked up, those that an earlier point has in the same place too: see capture-region-task.ts. */
async function captureBlocks(context: TaskContext, input: MemoryRegionInput, pages: PageReader): Promise<Buffer> {
  const { length, page } = input;
  const ids = Buffer.alloc(Math.ceil(length / imageBlock) * idLength);
  for (let at = 0; at < length; at += imageBlock) {
    throwIfCancelled(context.signal);
    const content = block.subarray(0, Math.min(imageBlock, length - at));
    for (let offset = 0; offset < content.length; offset += page) pages.copy((at + offset) / page, content, offset);
    if (content.equals(zeros.subarray(0, content.length))) continue; // The id of a hole is all zeros.
    const id = context.keys.blobId(blobKinds.data, content);
    if (!context.writer.has(id)) await context.writer.addNew(blobKinds.data, id, content);
    id.copy(ids, (at / imageBlock) * idLength);
  }
  return ids;
}

class PageReader {
  readonly #fd: number;
  readonly #page: number;
  readonly #positions: Float64Array;
  /** What of the spool is in `run`. */
  #start = 0;
  #end = 0;

  constructor(fd: number, { page, positions }: MemoryRegionInput) {
    this.#fd = fd;
    this.#page = page;
    this.#positions = positions;
  }

  copy(number: number, target: Buffer, offset: number): void {
    const page = this.#page;
    const position = this.#positions[number] ?? 0;
    if (position === 0) {
      target.fill(0, offset, offset + page);
      return;
    }
    if (position < this.#start || position + page > this.#end) this.#read(number, position);
    run.copy(target, offset, position - this.#start, position - this.#start + page);
  }

  /** Reads the page, and those that follow it both in memory and in the spool. */
  #read(first: number, start: number): void {
    let end = start + this.#page;
    for (let number = first + 1; number < this.#positions.length; number++) {
      const position = this.#positions[number] as number;
      if (position === 0) continue;
      if (position < end || position > end + widestGap || position + this.#page - start > longestRun) break;
      end = position + this.#page;
    }
    this.#start = start;
    this.#end = start;
    while (this.#end < end) {
      const got = readSync(this.#fd, run, this.#end - start, end - this.#end, this.#end);
      if (got === 0) throw streamInvalid("its file became shorter while it was read");
      this.#end += got;
    }
  }
}
