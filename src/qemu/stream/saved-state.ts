/** What a saved virtual machine consists of: QEMU's migration stream, taken apart. */
import { StillpointError } from "../../errors.ts";
import type { PagePositions } from "./page-positions.ts";

/** A range of a file, in bytes. */
export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

/** One of QEMU's blocks of RAM, ROM or video memory; `size` in bytes, whole pages. */
export interface RamBlock {
  /** As in the stream, byte for byte as Latin-1. */
  readonly id: string;
  readonly size: number;
}

/** A block whose pages are in the stream. */
export interface SavedBlock extends RamBlock {
  readonly positions: PagePositions;
}

/** A stream in a file, when it could be taken apart. */
export interface SplitState {
  readonly opaque: undefined;
  /** Everything up to and with the section that lists the blocks. */
  readonly head: ByteRange;
  /** Everything from the first section of a device on, to the end. */
  readonly tail: ByteRange;
  readonly blocks: readonly SavedBlock[];
  /** Bytes of a page. */
  readonly page: number;
  /** Where the stream ends; what follows in the file is zeros. */
  readonly end: number;
}

/** A stream that is whole, but holds more than RAM and device state, so that it must be kept as it is. */
export interface OpaqueState {
  /** Why it could not be taken apart. */
  readonly opaque: string;
  readonly end: number;
}

export type SavedState = SplitState | OpaqueState;

/** @param what what is wrong, such as "it ends in the middle" */
export function streamInvalid(what: string, cause?: unknown): StillpointError {
  return new StillpointError("stream_invalid", {
    what: `Cannot use the state that QEMU saved: ${what}`,
    safe: "No recovery point is made from it; earlier ones are untouched.",
    cause,
  });
}
