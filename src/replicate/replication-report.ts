/** What a run of replication says of itself: while it works, and at its end. */
import type { StillpointError } from "../errors.ts";
import type { CatalogPoint } from "../repository/points/catalog.ts";
import type { RecoveryPoint } from "../repository/points/manifest.ts";
import type { ReplicationPlan } from "./plan.ts";
import type { NoteFailure } from "./synchronise-notes.ts";

export interface ReplicationProgress {
  readonly points: { readonly done: number; readonly total: number };
  /** `total` is estimated. */
  readonly bytes: { readonly done: number; readonly total: number };
}

export interface PointFailure {
  readonly point: CatalogPoint;
  readonly error: StillpointError;
}

export interface ReplicationReport {
  /** Committed at the replica by this run. */
  readonly replicated: readonly CatalogPoint[];
  /** What the primary can't give in full. The others weren't held up by it. */
  readonly failed: readonly PointFailure[];
  /** Holds and tags that could not be copied. */
  readonly failedNotes: readonly NoteFailure[];
  /** What could not be locked, though it is to be. */
  readonly unlocked: readonly StillpointError[];
  /** How many of the points that are to be locked aren't, or for a shorter time; undefined when that wasn't found out, or none are to be. */
  readonly unlockedPoints: number | undefined;
  /** What ended the run early: the replica failed, or the run was cancelled. */
  readonly ended: StillpointError | undefined;
  readonly blobs: number;
  /** Bytes of all objects, or pieces of them, that were read at the primary. */
  readonly bytesRead: number;
  /** Bytes of all objects that were stored at the replica. */
  readonly bytesSent: number;
  /** Packs of an interrupted run that were found at the replica, and not sent again. */
  readonly adoptedPacks: number;
  /** What is still lacking; undefined when the replica could not even be listed. */
  readonly backlog: ReplicationPlan | undefined;
  /** The replica's points as the run found them; undefined when it could not even be listed. */
  readonly there: readonly CatalogPoint[] | undefined;
  /** What had vanished there, if it was news: some of it was to be sent again. */
  readonly vanished: readonly RecoveryPoint[];
}
