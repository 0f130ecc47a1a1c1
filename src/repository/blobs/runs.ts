/** Which bytes of packs are read as one, and how much of them ahead. */
import { tableEntryLength, tagLength } from "../format.ts";
import type { CatalogPack } from "./pack-catalog.ts";
import type { TableEntry } from "./pack.ts";

/** How a reader goes about, in bytes. */
export interface Reach {
  /** What is under way, or there and not used yet, at most; of packs that are read as a whole, one more. */
  readonly ahead: number;
  /** The longest read. */
  readonly run: number;
  /** Between two blobs: what is read along rather than skipped. */
  readonly gap: number;
  /** Nodes of a tree lie close together: where one is read, so much from there on is kept for the next. */
  readonly window: number;
}

const kibibyte = 1024;
const mebibyte = 1024 * kibibyte;

/**
 * Of a storage on this machine: one read, while what the last one brought is opened. More small packs than these in memory make V8
 * collect its whole heap, and a block or two are read sooner than a file is opened again (docs/benchmarks.md).
 */
export const nearReach: Reach = { ahead: 2 * mebibyte, run: 4 * mebibyte, gap: 256 * kibibyte, window: 256 * kibibyte };

/** Of one at the end of a line: a pack in one read, and two of them under way for each list of blobs. */
export const farReach: Reach = { ahead: 32 * mebibyte, run: 20 * mebibyte, gap: 256 * kibibyte, window: mebibyte };

/** A pack up to this size, in bytes, is read as a whole when it is opened: one call of the storage instead of three. */
export const smallPack = mebibyte;

/** Whether a pack is to be read as a whole when so many of its blobs are wanted: its table comes along then. */
export function isReadWhole({ size, tableLength }: CatalogPack, wanted: number, { run }: Reach): boolean {
  if (size <= smallPack) return true;
  const blobs = (tableLength - tagLength) / tableEntryLength;
  return size <= run && wanted >= (2 / 3) * blobs;
}

export interface WantedBlob {
  /** In the list that was asked for. */
  readonly position: number;
  readonly entry: TableEntry;
}

/** Blobs of a pack, never none, that are read as one. */
export interface Run {
  readonly blobs: readonly WantedBlob[];
  readonly offset: number;
  readonly length: number;
}

/** Blobs of one pack, those together that lie so close together that they are read as one. */
export function runsOf(wanted: readonly WantedBlob[], { gap, run: longest }: Reach): Run[] {
  const runs: { blobs: WantedBlob[]; offset: number; length: number }[] = [];
  for (const blob of wanted.toSorted((a, b) => a.entry.offset - b.entry.offset)) {
    const { offset, sealedLength } = blob.entry;
    const run = runs.at(-1);
    const length = run === undefined ? 0 : offset + sealedLength - run.offset;
    if (run !== undefined && offset - (run.offset + run.length) <= gap && length <= longest) {
      run.blobs.push(blob);
      run.length = Math.max(run.length, length);
    } else runs.push({ blobs: [blob], offset, length: sealedLength });
  }
  return runs;
}
