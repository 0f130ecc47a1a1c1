/** The files that differ in the disks of two points. */
import { isStillpointError } from "../../errors.ts";
import { encodeText } from "../../repository/tree/directory-tree.ts";
import type { Difference } from "../diff.ts";
import type { PointImages } from "../serve/point-images.ts";
import { diffVolumes } from "./diff-volumes.ts";
import { formatDiskPath } from "./disk-path.ts";
import { ExtVolume, type VolumeOptions } from "./ext-volume.ts";
import { type Volume, volumesOf } from "./look-inside.ts";

/** Bytes that differ between two disks. */
export interface ChangedRange {
  readonly offset: number;
  readonly length: number;
}

export interface DiskDiffOptions extends VolumeOptions {
  /** Of an image that both have. */
  readonly part: string;
  /** What of it differs; file systems outside of it aren't read. */
  readonly ranges: readonly ChangedRange[];
}

/**
 * Differences of the files, with paths as in disk-path.ts. A partition that only one of them has, or that isn't of the ext family,
 * is passed over; of one that can't be read `onTrouble` is told.
 *
 * Throws what reading the disks throws, or `cancelled`.
 */
export async function* diffDisks(
  before: PointImages,
  after: PointImages,
  options: DiskDiffOptions,
): AsyncGenerator<Difference> {
  const { part, ranges } = options;
  const old = await volumesOf(before.part(part));
  for (const volume of await volumesOf(after.part(part))) {
    const other = old.find(({ partition }) => partition === volume.partition);
    if (other?.content !== "ext" || volume.content !== "ext") continue;
    if (![volume, other].some((one) => isTouched(one, ranges))) continue;
    yield* diffFiles(other, volume, options);
  }
}

function isTouched({ offset, bytes }: Volume, ranges: readonly ChangedRange[]): boolean {
  return ranges.some((range) => range.offset < offset + bytes.size && offset < range.offset + range.length);
}

async function* diffFiles(before: Volume, after: Volume, options: DiskDiffOptions): AsyncGenerator<Difference> {
  const place = { part: options.part, partition: after.partition };
  try {
    const [one, other] = [await ExtVolume.open(before.bytes, options), await ExtVolume.open(after.bytes, options)];
    for (const { kind, path, type, aspects } of await diffVolumes(one, other)) {
      const whole = formatDiskPath(place, path);
      const encoded = encodeText("path", whole);
      const named = { path: whole.toString(), ...(encoded["path64"] !== undefined && { path64: encoded["path64"] }) };
      yield kind === "changed" ? { kind, ...named, aspects } : { kind, ...named, type };
    }
  } catch (error) {
    if (!isStillpointError(error, "disk_unreadable")) throw error;
    options.onTrouble(
      `the files of ${formatDiskPath(place, Buffer.alloc(0)).toString()} aren't compared: ${error.message}`,
    );
  }
}
