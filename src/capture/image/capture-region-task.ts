/** One leaf's worth of an image, in a worker thread: read, hashed, looked up, stored. */
import { type FileHandle, open } from "node:fs/promises";
import { StillpointError } from "../../errors.ts";
import type { Task, TaskContext } from "../../repository/threads/executor.ts";
import { storeBlock } from "./store-block.ts";

/** Bytes read at once; while one such slice is worked on, the next is being read. */
const sliceLength = 1024 * 1024;
/** A thread runs one task at a time, so these serve all of them. */
const slices = [Buffer.allocUnsafeSlow(sliceLength), Buffer.allocUnsafeSlow(sliceLength)] as const;

export interface RegionInput {
  readonly path: string;
  /** Offset and length of the region in bytes; the length is a multiple of the block but at the image's end. */
  readonly offset: number;
  readonly length: number;
  readonly block: number;
}

export interface RegionOutput {
  /** The ids of the region's blocks, joined. */
  readonly ids: Uint8Array;
}

export const captureRegion: Task<RegionInput, RegionOutput> = {
  name: "capture-region",
  async run(context, input) {
    const file = await open(input.path, "r");
    try {
      return { ids: await captureBlocks(context, input, file) };
    } finally {
      await file.close();
    }
  },
};

async function captureBlocks(context: TaskContext, input: RegionInput, file: FileHandle): Promise<Buffer> {
  const ids: Buffer[] = [];
  const end = input.offset + input.length;
  let reading = readSlice(file, input, slices[0], input.offset, end);
  for (let at = input.offset, turn = 0; at < end; at += sliceLength, turn ^= 1) {
    const slice = await reading;
    // Begun before this slice is worked on, so that the disk and the processor are busy together.
    reading = readSlice(file, input, slices[turn === 0 ? 1 : 0], at + sliceLength, end);
    reading.catch(() => {}); // Seen at the next await; here it only must not count as unhandled.
    for (let offset = 0; offset < slice.length; offset += input.block) {
      ids.push(await storeBlock(context, slice.subarray(offset, offset + input.block)));
    }
  }
  await reading;
  return Buffer.concat(ids);
}

async function readSlice(
  file: FileHandle,
  input: RegionInput,
  buffer: Buffer,
  at: number,
  end: number,
): Promise<Buffer> {
  const wanted = Math.min(sliceLength, end - at);
  let got = 0;
  while (got < wanted) {
    const { bytesRead } = await file.read(buffer, got, wanted - got, at + got);
    if (bytesRead === 0) throw shrunk(input.path, at + got);
    got += bytesRead;
  }
  return buffer.subarray(0, Math.max(0, wanted));
}

function shrunk(path: string, at: number): StillpointError {
  return new StillpointError("source_changed", {
    what: `Cannot capture ${path}: it ends at byte ${String(at)}, before the size it had when the capture began`,
    safe: "No recovery point was made; earlier ones are untouched.",
    next: "It is tried again at the next run.",
  });
}
