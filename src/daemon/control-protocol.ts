/** What is said on the control socket (docs/control.md). */
import * as path from "node:path";
import * as z from "zod";
import { type ErrorCode, errorTable, StillpointError } from "../errors.ts";
import type { PrunePreview } from "../job/preview-prune.ts";
import type { ErrorReport, JobReport } from "../job/report.ts";
import type { Failure } from "./failure-log.ts";

/** The socket in a state folder. */
export function controlSocketOf(state: string): string {
  return path.join(state, "control.sock");
}

export const controlRequest = z.discriminatedUnion("request", [
  z.object({ version: z.literal(1), request: z.literal("status") }),
  z.object({ version: z.literal(1), request: z.literal("run"), policy: z.string(), source: z.string().optional() }),
  z.object({ version: z.literal(1), request: z.literal("reload") }),
  z.object({ version: z.literal(1), request: z.literal("config") }),
  z.object({
    version: z.literal(1),
    request: z.literal("accept"),
    policy: z.string(),
    location: z.string(),
    fingerprint: z.string(),
    by: z.string(),
  }),
  z.object({ version: z.literal(1), request: z.literal("notify-test"), channel: z.string().optional() }),
  z.object({ version: z.literal(1), request: z.literal("history") }),
]);
export type ControlRequest = z.output<typeof controlRequest>;

/** A line from the daemon: events, and at last one result or error. */
export type ControlAnswer =
  | { readonly event: unknown }
  | { readonly result: unknown }
  | { readonly error: { readonly code: string; readonly message: string } };

/** All times in ms since the epoch, durations in ms. */
export interface DaemonStatus {
  readonly version: string;
  /** The name of this host. */
  readonly host: string;
  readonly pid: number;
  /** When this was so, by the daemon's clock. */
  readonly now: number;
  readonly started: number;
  /** Where metrics and health are served: `http://127.0.0.1:9464`. */
  readonly address: string;
  readonly config: ConfigStatus;
  /** Empty when the daemon is ready; else what it lacks, as sentences. */
  readonly notReady: readonly string[];
  /** What is at work, and what waits for its turn. */
  readonly work: readonly WorkStatus[];
  /** The last ones, newest first. */
  readonly failures: readonly Failure[];
  /** When they start next; undefined when never. */
  readonly maintenance: { readonly nextSweep: number | undefined; readonly nextCheck: number | undefined };
  readonly policies: readonly PolicyStatus[];
  readonly points: readonly PointStatus[];
  readonly locations: readonly LocationStatus[];
  readonly notifications: readonly NotificationStatus[];
}

/** A way by which notices leave the host: `webhook`, `email`, `ping`. */
export interface NotificationStatus {
  readonly channel: string;
  /** Deliveries that failed since the last one that succeeded; when that was; why the last one failed. */
  readonly failures: number;
  readonly succeeded: number | undefined;
  readonly error: string | undefined;
}

/** The configuration in force, as it was read. */
export interface ConfigText {
  readonly file: string;
  readonly text: string;
}

export interface ConfigStatus {
  readonly file: string;
  /** Whether the file, as it is now, is in force. */
  readonly current: boolean;
  readonly loaded: number;
  /** Why it isn't. */
  readonly error: ErrorReport | undefined;
}

export interface WorkStatus {
  readonly stage: "capture" | "replication" | "prune" | "sweep" | "check";
  /** Of a capture, a replication or a prune. */
  readonly policy: string | undefined;
  /** Of a capture. */
  readonly source: string | undefined;
  /** Of everything else. */
  readonly location: string | undefined;
  /** Undefined while it waits for its turn. */
  readonly started: number | undefined;
  /** Bytes; undefined for what has no measure. The total is an estimate, undefined while there is none. */
  readonly done: number | undefined;
  readonly total: number | undefined;
  /** Bytes per second lately; undefined while that can't be told. */
  readonly rate: number | undefined;
  /** At that rate; undefined while that can't be told. */
  readonly timeLeft: number | undefined;
}

export interface PolicyStatus {
  readonly policy: string;
  readonly sources: readonly string[];
  readonly running: boolean;
  /** Undefined for a policy that runs only when asked to. */
  readonly nextRun: number | undefined;
  /** How late the last job started. */
  readonly lag: number | undefined;
  /** Of this process. */
  readonly lastJob: JobReport | undefined;
}

/** The newest recovery point of a source under a policy at a location. */
export interface PointStatus {
  readonly policy: string;
  readonly source: string;
  readonly location: string;
  readonly newest: NewestPoint | undefined;
  /** Instant of the newest point whose latest verification passed. */
  readonly verified: number | undefined;
  /** The greatest age allowed. */
  readonly objective: number | undefined;
}

export interface NewestPoint {
  readonly id: string;
  readonly time: number;
  readonly consistency: string;
  /** Bytes protected, and bytes that the capture added to the repository. */
  readonly size: number;
  readonly stored: number;
  readonly leftOut: number;
  /** Of the capture. */
  readonly duration: number;
}

export interface LocationStatus {
  readonly location: string;
  readonly reachable: boolean;
  /** When it last answered. */
  readonly checked: number | undefined;
  readonly error: ErrorReport | undefined;
  readonly points: readonly { readonly source: string; readonly count: number }[];
  readonly sizeBytes: number | undefined;
  readonly freeBytes: number | undefined;
  /** When the last ones that succeeded ended. */
  readonly lastSweep: number | undefined;
  readonly lastCheck: number | undefined;
  /** Damage that the last check found, or one before it in what wasn't read again since. */
  readonly findings: number | undefined;
  /** What it lacks of each policy; empty for the primary. */
  readonly backlog: readonly { readonly policy: string; readonly points: number; readonly bytes: number }[];
  /** Of each policy that sends there. Empty for the primary. */
  readonly replications: readonly ReplicationStatus[];
}

export interface ReplicationStatus {
  readonly policy: string;
  /** Where its points come from: `primary`, or another replica. */
  readonly from: string;
  /** Points that the last replication could not lock, or not for long enough; undefined when that is unknown, or none are to be. */
  readonly unlocked: number | undefined;
}

/** What `/status.json` serves. The version is raised when something is renamed or removed. */
export interface PageData {
  readonly version: 1;
  readonly status: DaemonStatus;
  readonly history: History;
}

/** What runs, told often to whoever looks at the page. */
export type LiveWork = Pick<DaemonStatus, "now" | "work">;

/** What is stored, was stored, and will be: too much for the status. Read from the repositories, so it may be some minutes old. */
export interface History {
  /** When it was read. */
  readonly time: number;
  /** Locations that could not be read then: what is said of them is older, or lacks. */
  readonly unread: readonly { readonly location: string; readonly error: ErrorReport }[];
  readonly timelines: readonly Timeline[];
  readonly prunes: readonly PrunePreview[];
  readonly sizes: readonly LocationSizes[];
}

/** The recovery points of a source under a policy at a location. */
export interface Timeline {
  readonly policy: string;
  readonly source: string;
  readonly location: string;
  readonly count: number;
  readonly verified: number;
  readonly held: number;
  /** Newest first. When there are too many points, those of about the same age share a mark. */
  readonly marks: readonly Mark[];
  /** Newest first, the last 50. */
  readonly gaps: readonly Gap[];
}

export interface Mark {
  /** Of the newest of its points. */
  readonly id: string;
  /** The instants of its oldest and its newest point. */
  readonly from: number;
  readonly to: number;
  readonly count: number;
  /** How many of them. */
  readonly verified: number;
  readonly held: number;
}

/** When the newest point that was at the location then was older than the objective, without the present. */
export interface Gap {
  readonly from: number;
  readonly to: number;
}

export interface LocationSizes {
  readonly location: string;
  /** Oldest first; sparser with age. */
  readonly samples: readonly { readonly time: number; readonly bytes: number }[];
}

/** The daemon's error, as one of our own. */
export function errorFrom({ code, message }: { readonly code: string; readonly message: string }): StillpointError {
  const known = code in errorTable ? (code as ErrorCode) : "internal";
  return new StillpointError(known, { what: message.replace(/\.$/, "") });
}
