/** Which packs a sweep rewrites, and how much room there is for it. */
import type { Files } from "../../host/files.ts";
import { nodeFiles } from "../../host/node-files.ts";
import type { Repository } from "../repository.ts";
import type { PackUse } from "./usage.ts";

export interface RewriteLimits {
  /** A pack of which less than this share (0 to 1) is in use is rewritten. */
  readonly share: number;
  /** A pack shorter than this, in bytes, is small; as many small ones of one class are joined. */
  readonly smallPack: number;
  readonly smallPacks: number;
}

/** In bytes; undefined where nobody can tell. */
export async function freeSpace(
  { address }: Repository,
  files: Pick<Files, "freeSpace"> = nodeFiles,
): Promise<number | undefined> {
  return address?.kind === "fs" ? await files.freeSpace(address.path).catch(() => undefined) : undefined;
}

/** Packs with little in use, and small ones when there are many of a class: as many as there is room for, in bytes. */
export function chooseRewrites(packs: readonly PackUse[], limits: RewriteLimits, room: number): PackUse[] {
  const small = packs.filter((pack) => pack.size < limits.smallPack);
  const sparse = packs.filter((pack) => pack.size >= limits.smallPack && pack.liveBytes < pack.size * limits.share);
  const chosen = fitting(sparse, room);
  let left = room - liveBytesOf(chosen);
  for (const kind of ["data", "metadata"] as const) {
    const joined = fitting(
      small.filter((pack) => pack.class === kind),
      left,
    );
    if (joined.length < limits.smallPacks) continue;
    chosen.push(...joined);
    left -= liveBytesOf(joined);
  }
  return chosen;
}

/** Those with the least in use first, as long as there is room for what is in use. */
function fitting(packs: readonly PackUse[], room: number): PackUse[] {
  const leastFirst = packs.toSorted((a, b) => a.liveBytes / a.size - b.liveBytes / b.size);
  const chosen: PackUse[] = [];
  let left = room;
  for (const pack of leastFirst) {
    left -= pack.liveBytes;
    if (left < 0) break;
    chosen.push(pack);
  }
  return chosen;
}

export function liveBytesOf(packs: readonly PackUse[]): number {
  return packs.reduce((bytes, { liveBytes }) => bytes + liveBytes, 0);
}

export function bytesOf(packs: readonly PackUse[]): number {
  return packs.reduce((bytes, { size }) => bytes + size, 0);
}
