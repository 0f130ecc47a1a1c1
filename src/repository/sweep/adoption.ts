/** Packs in no index that hold what points need. */
import type { CallOptions } from "../../storage/storage.ts";
import type { PackInfo } from "../blobs/pack.ts";
import { verifyPack } from "../check/pack.ts";
import type { Repository } from "../repository.ts";
import type { PackUse, Usage } from "./usage.ts";

export interface Adoption {
  /** Verified: they can be indexed. */
  readonly adopt: readonly PackInfo[];
  /** They stay, in no index: nobody relies on them, and what can be had from them is still there for a repair. */
  readonly damaged: readonly PackUse[];
}

export interface AdoptionOptions extends CallOptions {
  /** Called between packs, and awaited. */
  readonly onProgress: (() => Promise<void>) | undefined;
}

/** Only a whole pack may be indexed, since writers would rely on all of it. Throws a storage error, or `cancelled`. */
export async function planAdoption(
  repository: Repository,
  { packs }: Usage,
  { onProgress, signal }: AdoptionOptions,
): Promise<Adoption> {
  const adopt: PackInfo[] = [];
  const damaged: PackUse[] = [];
  for (const pack of packs.values()) {
    if (pack.indexed || pack.liveBlobs === 0) continue;
    await onProgress?.();
    const { info, damage } = await verifyPack(repository, pack, { signal });
    if (info !== undefined && damage === undefined) adopt.push(info);
    else damaged.push(pack);
  }
  return { adopt, damaged };
}
