/** One leaf's worth of an image, in a worker thread: read, hashed, looked up, stored. */
import { closeSync, openSync, readSync } from "node:fs";
import { StillpointError } from "../../errors.ts";
import { throwIfCancelled } from "../../host/cancel.ts";
import { readAhead } from "../../host/syscalls.ts";
import type { Task, TaskContext } from "../../repository/threads/executor.ts";
import { storeBlock } from "./store-block.ts";

/** Bytes read at once; while one such slice is worked on, the kernel reads the next. */
const sliceLength = 1024 * 1024;
/** A thread runs one task at a time, so this serves all of them. */
const buffer = Buffer.allocUnsafeSlow(sliceLength);

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
    const fd = openSync(input.path, "r");
    try {
      return { ids: await captureBlocks(context, input, fd) };
    } finally {
      closeSync(fd);
    }
  },
};

async function captureBlocks(context: TaskContext, input: RegionInput, fd: number): Promise<Buffer> {
  const ids: Buffer[] = [];
  const end = input.offset + input.length;
  for (let at = input.offset; at < end; at += sliceLength) {
    throwIfCancelled(context.signal);
    const slice = readSlice(fd, input.path, at, Math.min(sliceLength, end - at));
    // Also where this region ends: another thread, or this one, goes on there.
    readAhead(fd, at + sliceLength, sliceLength);
    for (let offset = 0; offset < slice.length; offset += input.block) {
      ids.push(await storeBlock(context, slice.subarray(offset, offset + input.block)));
    }
  }
  return Buffer.concat(ids);
}

function readSlice(fd: number, path: string, at: number, length: number): Buffer {
  for (let got = 0; got < length; ) {
    const read = readSync(fd, buffer, got, length - got, at + got);
    if (read === 0) throw shrunk(path, at + got);
    got += read;
  }
  return buffer.subarray(0, length);
}

function shrunk(path: string, at: number): StillpointError {
  return new StillpointError("source_changed", {
    what: `Cannot capture ${path}: it ends at byte ${String(at)}, before the size it had when the capture began`,
    safe: "No recovery point was made; earlier ones are untouched.",
    next: "It is tried again at the next run.",
  });
}
