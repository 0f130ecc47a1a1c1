/**
 * Paths into disks: `disk/root` is the image itself, `disk/root:2` its second partition, `disk/root:2/etc/passwd` a file in the
 * partition's file system, and `disk/root:/etc/passwd` one in the only file system that there is.
 */
import type { Part, RecoveryPoint } from "../../repository/points/manifest.ts";
import { stepsOf } from "../selection.ts";

export interface DiskPath {
  /** Of an image. */
  readonly part: string;
  /** Undefined: the disk as a whole, or the only one that can be read. */
  readonly partition: number | undefined;
  /** Names in the file system. */
  readonly steps: readonly string[];
  /** Whether a path in a file system was given, if only `/`. */
  readonly inside: boolean;
}

/** Undefined for a path that doesn't lead into a disk of the point. Throws `usage`. */
export function parseDiskPath({ manifest }: RecoveryPoint, path: string): DiskPath | undefined {
  const images = manifest.parts
    .filter(({ kind }) => kind === "image")
    .filter(({ name }) => path.startsWith(`${name}:`));
  // The name of a disk may hold a colon itself.
  const part: Part | undefined = images.toSorted((a, b) => b.name.length - a.name.length)[0];
  if (part === undefined) return undefined;
  const [, number, rest = ""] = /^([1-9]\d{0,3})?(\/.*)?$/s.exec(path.slice(part.name.length + 1)) ?? [];
  const partition = number === undefined ? undefined : Number(number);
  if (partition === undefined && rest === "" && path.length > part.name.length + 1) return undefined;
  return { part: part.name, partition, steps: stepsOf(rest), inside: rest !== "" };
}

/** The path of something in a file system. */
export function formatDiskPath({ part, partition }: Pick<DiskPath, "part" | "partition">, steps: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${part}:${partition === undefined ? "" : String(partition)}/`), steps]);
}
