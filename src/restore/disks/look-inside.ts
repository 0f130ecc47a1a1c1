/** Looking into the disks of recovery points: their partitions, and the files in them. */
import { StillpointError } from "../../errors.ts";
import { type DirectoryEntry, nameOf, targetOf } from "../../repository/tree/directory-tree.ts";
import type { Listed } from "../browse.ts";
import type { PointImages } from "../serve/point-images.ts";
import { bytesOf, type DiskBytes, sliceOf } from "./disk-bytes.ts";
import { type DiskPath, formatDiskPath } from "./disk-path.ts";
import { otherWay } from "./disk-tool.ts";
import { ExtVolume, topInode, type VolumeOptions } from "./ext-volume.ts";
import { readPartitions } from "./partition-table.ts";
import { recognise } from "./recognise.ts";

/** A place on a disk where a file system may be: a partition, or all of a disk without any. */
export interface Volume {
  readonly partition: number | undefined;
  /** On the disk, in bytes. */
  readonly offset: number;
  readonly bytes: DiskBytes;
  /** What it holds, as far as it is known. */
  readonly content: string | undefined;
}

/** Throws what reading the disk throws. */
export async function volumesOf(disk: DiskBytes): Promise<readonly Volume[]> {
  const partitions = await readPartitions(disk);
  const places = partitions ?? [{ number: undefined, offset: 0, size: disk.size }];
  const volumes: Volume[] = [];
  for (const { number, offset, size } of places) {
    const bytes = sliceOf(disk, offset, size);
    volumes.push({ partition: number, offset, bytes, content: await recognise(bytes) });
  }
  return volumes;
}

/**
 * The partitions of a disk, or the entries of a folder in it, or the one thing that is there.
 * Throws `not_found`, `disk_unreadable`, `damaged`, a storage error, or `cancelled`.
 */
export async function listInside(
  images: PointImages,
  path: DiskPath,
  options: VolumeOptions,
): Promise<readonly Listed[]> {
  const volumes = await volumesOf(images.part(path.part));
  const [only] = volumes;
  if (!path.inside && path.partition === undefined && only?.partition !== undefined)
    return volumes.map(({ partition, bytes, content }) => ({
      path: `${path.part}:${String(partition)}`,
      type: "partition",
      size: bytes.size,
      entry: undefined,
      content,
    }));
  const { volume, place } = await openAt(volumes, path, options);
  const { folder, entry } = await find(volume, path);
  const inFolder = entry === undefined || entry.type === "directory";
  const entries = inFolder ? ((await volume.list([entry?.inode ?? topInode])).values().next().value ?? []) : [entry];
  const steps = inFolder ? path.steps : folder;
  return (await volume.withTargets(entries)).map((one) => ({
    path: formatDiskPath(
      place,
      Buffer.concat([...steps.map((step) => Buffer.from(`${step}/`)), nameOf(one)]),
    ).toString(),
    type: one.type,
    size: one.size,
    entry: one,
  }));
}

/** A file's content, or that of a partition. Throws as `listInside` does, and `usage` for what has no content. */
export async function* openInside(
  images: PointImages,
  path: DiskPath,
  options: VolumeOptions,
): AsyncGenerator<Uint8Array> {
  const volumes = await volumesOf(images.part(path.part));
  if (!path.inside) {
    yield* bytesOf(volumeAt(volumes, path).bytes);
    return;
  }
  const { volume } = await openAt(volumes, path, options);
  const { entry } = await find(volume, path);
  if (entry?.type === "file") {
    yield* volume.read(entry.inode);
    return;
  }
  const what =
    entry?.type === "symlink" ? `a link to ${targetOf(entry).toString()}` : `a ${entry?.type ?? "directory"}`;
  throw new StillpointError("usage", {
    what: `Cannot show ${describe(path)}: it is ${what}, not a file`,
    next: "`stillpoint ls` shows what a folder holds.",
  });
}

function volumeAt(volumes: readonly Volume[], path: DiskPath): Volume {
  const found = volumes.filter(({ partition, content }) =>
    path.partition === undefined ? partition === undefined || content === "ext" : partition === path.partition,
  );
  const [one] = found;
  if (one !== undefined && found.length === 1) return one;
  const numbers = volumes.map(({ partition, content }) => `${String(partition)} (${content ?? "unknown content"})`);
  const there = volumes[0]?.partition === undefined ? "none" : numbers.join(", ");
  throw new StillpointError("not_found", {
    what:
      path.partition === undefined
        ? `Cannot tell which partition of ${path.part} is meant`
        : `The disk ${path.part} has no partition ${path.partition}`,
    next: `Its partitions: ${there}. ${path.part}:1/etc is a path in the first.`,
  });
}

async function openAt(
  volumes: readonly Volume[],
  path: DiskPath,
  options: VolumeOptions,
): Promise<{ readonly volume: ExtVolume; readonly place: Pick<DiskPath, "part" | "partition"> }> {
  const { partition, bytes, content } = volumeAt(volumes, path);
  if (content === "ext") return { volume: await ExtVolume.open(bytes, options), place: { part: path.part, partition } };
  const where = partition === undefined ? path.part : `${path.part}:${String(partition)}`;
  throw new StillpointError("disk_unreadable", {
    what: `Cannot look into ${where}: it holds ${content ?? "nothing that is known here"}, and only ext2, ext3 and ext4 are read here`,
    next: otherWay,
  });
}

/** What is at the end of the path; undefined for the top. Links on the way aren't followed. Throws `not_found`. */
async function find(
  volume: ExtVolume,
  path: DiskPath,
): Promise<{ readonly folder: readonly string[]; readonly entry: DirectoryEntry | undefined }> {
  let at: DirectoryEntry | undefined;
  for (const step of path.steps) {
    const inode = at?.inode ?? topInode;
    const isFolder = at === undefined || at.type === "directory";
    const entries: readonly DirectoryEntry[] = isFolder ? ((await volume.list([inode])).get(inode) ?? []) : [];
    at = entries.find((entry) => nameOf(entry).equals(Buffer.from(step)));
    if (at !== undefined) continue;
    throw new StillpointError("not_found", {
      what: `There is nothing at ${describe(path)}`,
      next: "`stillpoint ls` shows what a folder holds; links are not followed.",
    });
  }
  return { folder: path.steps.slice(0, -1), entry: at };
}

function describe(path: DiskPath): string {
  return formatDiskPath(path, Buffer.from(path.steps.join("/"))).toString();
}
