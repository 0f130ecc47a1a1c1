/** What became of a job: plain data, for logs, metrics, the control socket and `--json`. Times in ms since the epoch. */
import type { Clock } from "../host/clock.ts";
import { describeError, type ErrorCode, isStillpointError } from "../errors.ts";
import type { Acceptance } from "./retention-records.ts";
import type { Consistency } from "../repository/points/manifest.ts";

/** `partial`: something of value was done, and something was not. */
export type Outcome = "ok" | "partial" | "failed";

export interface ErrorReport {
  readonly code: ErrorCode;
  readonly message: string;
}

export interface PointReport {
  readonly id: string;
  /** The instant captured. */
  readonly time: number;
  readonly consistency: Consistency;
  /** Bytes protected; bytes that were read; bytes of blobs never seen before; their sealed bytes. */
  readonly size: number;
  readonly read: number;
  readonly new: number;
  readonly stored: number;
  /** How many entries could not be captured. */
  readonly leftOut: number;
  /** Of a virtual machine: for how long it stood still, in ms. */
  readonly pause?: number;
  /** Of a virtual machine: what an earlier capture, which was killed, had left in it and was made good, in words. */
  readonly mended?: readonly string[];
}

interface StageReport {
  readonly started: number;
  readonly finished: number;
  /** Empty when everything went well. */
  readonly errors: readonly ErrorReport[];
}

/** `started` is when its turn was asked for: a capture may have to wait for another one. */
export interface CaptureReport extends StageReport {
  readonly source: string;
  /** `partial`: there is a recovery point, but something was left out of it. */
  readonly outcome: Outcome;
  readonly point: PointReport | undefined;
}

/** What replicating to one replica came to. */
export interface Replicated {
  /** `deferred`: an earlier run still sends there, and will go on with what this run has captured. */
  readonly outcome: Outcome | "deferred";
  /** Points that are there now and weren't before. */
  readonly points: number;
  readonly bytesRead: number;
  readonly bytesSent: number;
  /** What is still lacking there; undefined when it could not be found out. `bytes` is an estimate. */
  readonly backlog: { readonly points: number; readonly bytes: number } | undefined;
  /** Points that are to be locked there, and aren't, or not for long enough; undefined when that is unknown, or none are to be. */
  readonly unlocked?: number | undefined;
  readonly errors: readonly ErrorReport[];
}

export interface ReplicaReport extends StageReport, Replicated {
  readonly replica: string;
}

/** What pruning one location came to. */
export interface Pruned {
  /** `deferred`: the configuration has changed since the job began, and what is to be forgotten now is left to the next run. */
  readonly outcome: Outcome | "deferred";
  readonly kept: number;
  readonly forgotten: number;
  /** Of those: points that a replica still lacks, given up because the policy's cap was reached. */
  readonly givenUp: number;
  /** Who has accepted that new keep rules forget so much at once, where that was needed. */
  readonly accepted?: Acceptance;
  readonly errors: readonly ErrorReport[];
}

export interface PruneReport extends StageReport, Pruned {
  /** `primary`, or the replica's name. */
  readonly location: string;
}

export interface JobReport {
  readonly policy: string;
  readonly started: number;
  readonly finished: number;
  readonly outcome: Outcome;
  readonly sources: readonly CaptureReport[];
  readonly replicas: readonly ReplicaReport[];
  readonly prune: readonly PruneReport[];
}

/** What a job tells while it runs. */
export type JobEvent =
  | { readonly event: "capture-started"; readonly source: string }
  | {
      readonly event: "capture-progress";
      readonly source: string;
      readonly done: number;
      readonly total: number | undefined;
    }
  | ({ readonly event: "capture-finished" } & CaptureReport)
  | { readonly event: "replication-started"; readonly replica: string }
  | { readonly event: "replication-progress"; readonly replica: string; readonly done: number; readonly total: number }
  | ({ readonly event: "replication-finished" } & ReplicaReport)
  | { readonly event: "prune-started"; readonly location: string }
  | ({ readonly event: "prune-finished" } & PruneReport);

export function errorReport(error: unknown): ErrorReport {
  const code = isStillpointError(error) ? error.code : "internal";
  return { code, message: describeError(error) };
}

/** Several replications, one after the other to the same replica, as one. What one has told is told, whatever became of those after it. */
export function sumOf(results: readonly Replicated[]): Replicated {
  const sum = (of: (result: Replicated) => number): number => results.reduce((total, result) => total + of(result), 0);
  const last = results.at(-1) ?? nothingSent;
  const errors = results.flatMap((result) => result.errors);
  return {
    ...last,
    outcome: results.every(({ outcome }) => outcome === last.outcome) ? last.outcome : "partial",
    points: sum(({ points }) => points),
    bytesRead: sum(({ bytesRead }) => bytesRead),
    bytesSent: sum(({ bytesSent }) => bytesSent),
    errors: [...new Map(errors.map((error) => [error.message, error])).values()],
  };
}

export const nothingSent: Replicated = {
  outcome: "ok",
  points: 0,
  bytesRead: 0,
  bytesSent: 0,
  backlog: undefined,
  errors: [],
};

/** Runs a stage; an error makes it a failed one, with what `blank` says. */
export async function stage<Report extends { readonly outcome: string; readonly errors: readonly ErrorReport[] }>(
  clock: Clock,
  blank: Report,
  work: () => Promise<Partial<Report>>,
): Promise<Report & { readonly started: number; readonly finished: number }> {
  const started = clock.now();
  try {
    return { ...blank, ...(await work()), started, finished: clock.now() };
  } catch (error) {
    return { ...blank, outcome: "failed", errors: [errorReport(error)], started, finished: clock.now() };
  }
}

/** A job without a single new recovery point has failed, whatever else it did. */
export function outcomeOf({ sources, replicas, prune }: Pick<JobReport, "sources" | "replicas" | "prune">): Outcome {
  if (sources.length > 0 && sources.every(({ outcome }) => outcome === "failed")) return "failed";
  const all = [...sources, ...replicas, ...prune].map(({ outcome }) => outcome);
  return all.every((outcome) => outcome === "ok" || outcome === "deferred") ? "ok" : "partial";
}
