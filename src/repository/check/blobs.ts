/** Opens, decodes and identifies blobs that lie together, many with one call of zstd. */
import { zstdDecompressSync } from "node:zlib";
import type { StillpointError } from "../../errors.ts";
import { release } from "../../host/release.ts";
import { encodings } from "../format.ts";
import type { KeyRing } from "../keys/key-ring.ts";
import { isDamage } from "../mark/mark.ts";
import { openBlob, openStored, type TableEntry } from "../blobs/pack.ts";

/** Contents decoded together, in bytes: a call of zstd costs as much as decoding some 30 KiB, so many small blobs go together. */
const batchLength = 2 * 1024 * 1024;

export interface SealedBlobs {
  readonly keys: KeyRing;
  readonly objectKey: Buffer;
  /** The pack's id, for messages. */
  readonly pack: string;
  /** The sealed bytes of a blob. */
  readonly sealed: (entry: TableEntry) => Buffer;
}

export interface BadBlobs {
  readonly entries: readonly TableEntry[];
  /** What is wrong with the first. */
  readonly error: StillpointError;
}

/** Returns the blobs that aren't whole, or undefined. */
export function verifyBlobs(blobs: SealedBlobs, entries: readonly TableEntry[]): BadBlobs | undefined {
  const bad: TableEntry[] = [];
  let first: StillpointError | undefined;
  for (const batch of batches(entries)) {
    if (areWhole(blobs, batch)) continue;
    // Something in it isn't: now one by one, to say what.
    for (const entry of batch) {
      try {
        release(openBlob(blobs.keys, blobs.objectKey, entry, blobs.sealed(entry), blobs.pack));
      } catch (error) {
        if (!isDamage(error)) throw error;
        first ??= error;
        bad.push(entry);
      }
    }
  }
  return first && { entries: bad, error: first };
}

function* batches(entries: readonly TableEntry[]): Generator<readonly TableEntry[]> {
  let batch: TableEntry[] = [];
  let length = 0;
  for (const entry of entries) {
    if (batch.length > 0 && length + entry.rawLength > batchLength) {
      yield batch;
      batch = [];
      length = 0;
    }
    batch.push(entry);
    length += entry.rawLength;
  }
  if (batch.length > 0) yield batch;
}

/** Whether all open, decode to their lengths, and are what their ids say: frames that follow one another decode as one. */
function areWhole({ keys, objectKey, pack, sealed }: SealedBlobs, batch: readonly TableEntry[]): boolean {
  const packed = batch.filter(({ encoding }) => encoding === encodings.zstd);
  const length = packed.reduce((sum, { rawLength }) => sum + rawLength, 0);
  // A single large blob, or one of an unknown encoding, is looked at by itself.
  if (length > batchLength || batch.some(({ encoding }) => encoding !== encodings.zstd && encoding !== encodings.plain))
    return false;
  try {
    const stored = batch.map((entry) => openStored(objectKey, entry, sealed(entry), pack));
    const frames = Buffer.concat(stored.filter((_, i) => batch[i]?.encoding === encodings.zstd));
    const raw =
      packed.length === 0
        ? frames
        : zstdDecompressSync(frames, { maxOutputLength: Math.max(1, length), chunkSize: Math.max(64, length) });
    let at = 0;
    const whole = batch.every(({ id, kind, encoding, rawLength }, i) => {
      const plain = encoding === encodings.plain;
      const content = plain ? (stored[i] as Buffer) : raw.subarray(at, at + rawLength);
      if (!plain) at += rawLength;
      return content.length === rawLength && keys.blobId(kind, content).equals(id);
    });
    for (const buffer of [...stored, frames, raw]) release(buffer);
    return whole && at === length;
  } catch {
    return false;
  }
}
