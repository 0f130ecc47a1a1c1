/** Opens, decodes and identifies blobs that lie together. */
import type { StillpointError } from "../../errors.ts";
import { release } from "../../host/release.ts";
import type { KeyRing } from "../keys/key-ring.ts";
import { isDamage } from "../mark/mark.ts";
import { openBlob, reusedRoom, type TableEntry } from "../blobs/pack.ts";

/** This thread's: a content is looked at, and forgotten. */
const room = reusedRoom();

export interface BlobsToVerify {
  readonly keys: KeyRing;
  readonly objectKey: Buffer;
  /** The pack's id, for messages. */
  readonly pack: string;
  /** The sealed bytes of a blob. Throws why they can't be read. */
  readonly sealed: (entry: TableEntry) => Buffer;
}

export interface BadBlobs {
  readonly entries: readonly TableEntry[];
  /** What is wrong with the first. */
  readonly error: StillpointError;
}

/** Returns the blobs that aren't whole, or undefined. */
export function verifyBlobs(blobs: BlobsToVerify, entries: readonly TableEntry[]): BadBlobs | undefined {
  const bad: TableEntry[] = [];
  let first: StillpointError | undefined;
  for (const entry of entries) {
    try {
      release(openBlob(blobs.keys, blobs.objectKey, entry, blobs.sealed(entry), blobs.pack, room));
    } catch (error) {
      if (!isDamage(error)) throw error;
      first ??= error;
      bad.push(entry);
    }
  }
  return first && { entries: bad, error: first };
}
