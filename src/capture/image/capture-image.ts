/** The source kind `image`: a block device or an image file. */
import { open, stat } from "node:fs/promises";
import { StillpointError } from "../../errors.ts";
import { throwIfCancelled } from "../../host/cancel.ts";
import { systemClock } from "../../host/clock.ts";
import { blockDeviceSize } from "../../host/syscalls.ts";
import { imageBlock } from "../../repository/format.ts";
import type { ImagePart } from "../../repository/points/manifest.ts";
import { hole, writeImageTree } from "../../repository/tree/image-tree.ts";
import type { CaptureContext, Captured } from "../capture.ts";
import { tick } from "../tick.ts";
import { captureRegion } from "./capture-region-task.ts";
import { inOrder, leafLength, leafOf } from "./leaves.ts";

export interface ImageSource {
  readonly path: string;
}

/**
 * Captures the image as it is read. Consistency is `crash` when nothing wrote to it meanwhile (a file whose modification
 * time and size stayed the same), else `none`; a block device can't tell, so `none` unless hooks made it still.
 *
 * Throws `source_missing`, `source_denied`, `source_changed`, `cancelled`, or a storage error.
 */
export async function captureImage(context: CaptureContext, source: ImageSource): Promise<Captured> {
  const { session, progress, clock } = context;
  const before = await describeSettled(source.path, context.signal);
  const instant = clock.now();
  const regions = Math.ceil(before.size / leafLength);
  const leaves = Array.from({ length: regions }, () => hole);
  let done = 0;
  await inOrder(regions, session.executor.parallel, async (region) => {
    throwIfCancelled(context.signal);
    const offset = region * leafLength;
    const length = Math.min(leafLength, before.size - offset);
    const output = await session.run(captureRegion, {
      path: source.path,
      offset,
      length,
      block: imageBlock,
    });
    leaves[region] = await leafOf(session.writer, before.size, output.ids);
    done += length;
    progress({ done, total: before.size });
  });
  const tree = await writeImageTree(session.writer, before.size, imageBlock, leaves);
  const after = await describeImage(source.path);
  const part: ImagePart = { name: "image", kind: "image", ...tree };
  const still = before.stamp !== undefined && before.stamp === after.stamp;
  return {
    parts: [part],
    instant,
    consistency: still ? "crash" : "none",
    size: before.size,
    read: before.size,
    leftOut: [],
    leftOutCount: 0,
  };
}

interface ImageState {
  readonly size: number;
  /** In ms since the epoch. */
  readonly changed: number;
  /** Changes when the file does; undefined for a device, which doesn't tell. */
  readonly stamp: string | undefined;
}

/** Of what was written to just before, a moment later: a change from now on gets another time than that one. */
async function describeSettled(path: string, signal?: AbortSignal): Promise<ImageState> {
  const state = await describeImage(path);
  // The kernel's clock, whatever the tests' is.
  if (Math.abs(systemClock.now() - state.changed) > tick) return state;
  await systemClock.sleep(2 * tick, signal);
  return await describeImage(path);
}

async function describeImage(path: string): Promise<ImageState> {
  try {
    const info = await stat(path, { bigint: true });
    const changed = Number(info.ctimeMs);
    if (info.isFile())
      return { size: Number(info.size), changed, stamp: `${info.mtimeNs} ${info.ctimeNs} ${info.size} ${info.ino}` };
    if (info.isBlockDevice()) return { size: await deviceSize(path), changed, stamp: undefined };
  } catch (error) {
    throw unreadable(path, error);
  }
  throw new StillpointError("source_missing", {
    what: `Cannot capture ${path}: it is neither a file nor a block device`,
    safe: "Earlier recovery points are untouched.",
    next: "Correct the source's path.",
  });
}

async function deviceSize(path: string): Promise<number> {
  const device = await open(path, "r");
  try {
    return blockDeviceSize(device.fd);
  } finally {
    await device.close();
  }
}

function unreadable(path: string, cause: unknown): StillpointError {
  const denied = cause instanceof Error && "code" in cause && (cause.code === "EACCES" || cause.code === "EPERM");
  return new StillpointError(denied ? "source_denied" : "source_missing", {
    what: `Cannot capture ${path}: ${denied ? "it can't be read with the rights of this process" : "it isn't there"}`,
    safe: "Earlier recovery points are untouched.",
    next: denied ? "Run Stillpoint with the rights to read it." : "Correct the source's path, or bring it back.",
    cause,
  });
}
