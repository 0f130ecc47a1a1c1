/** What every kind of source does: turn what is there now into parts whose blobs are in the repository. */
import type { StillpointError } from "../errors.ts";
import type { Clock } from "../host/clock.ts";
import type { BlobReader } from "../repository/blobs/blob-reader.ts";
import type { Machine } from "../repository/points/machine.ts";
import type { Consistency, LeftOut, Part, RecoveryPoint } from "../repository/points/manifest.ts";
import type { WriteSession } from "../repository/blobs/write-session.ts";

export interface CaptureContext {
  readonly session: WriteSession;
  readonly reader: BlobReader;
  readonly clock: Clock;
  /** The source's newest recovery point, when its blobs can be relied on: what didn't change since needn't be stored again. */
  readonly previous: RecoveryPoint | undefined;
  readonly signal: AbortSignal | undefined;
  readonly progress: (progress: Progress) => void;
}

/** How far the work is, in bytes; `total` is undefined while it isn't known. */
export interface Progress {
  readonly done: number;
  readonly total: number | undefined;
}

/** A capture's result, before it is committed: nothing exists yet. */
export interface Captured {
  readonly parts: readonly Part[];
  /** The instant captured, in ms since the epoch. */
  readonly instant: number;
  readonly consistency: Consistency;
  /** Bytes protected, and bytes that had to be read. */
  readonly size: number;
  readonly read: number;
  /** What could not be captured; the list may be cut short, the count isn't. */
  readonly leftOut: readonly LeftOut[];
  readonly leftOutCount: number;
  /** Folders in which something kept changing until the capture gave up on one instant. */
  readonly unsettled?: number;
  /** Of a virtual machine: how to start it again. */
  readonly machine?: Machine;
  /** Of a virtual machine: what an earlier capture, which was killed, had left in it and was made good, in words. */
  readonly mended?: readonly string[];
  /** What somebody should hear of although the point is good. */
  readonly problems?: readonly StillpointError[];
  /** To be called once, in the end: frees what the source still holds for this capture. Returns what failed; never throws. */
  readonly settle?: (committed: boolean) => Promise<readonly StillpointError[]>;
}
