/** What the daemon and its work process say to each other. */
import type { CapturedPoint } from "../job/capture-stage.ts";
import type { Pruned, Replicated } from "../job/report.ts";
import type { Config, Policy, Replication, Source } from "../policy/config.ts";
import type { CheckReport } from "../repository/check/check.ts";
import type { ReadData } from "../repository/check/packs.ts";
import type { SweepReport } from "../repository/sweep/sweep.ts";
import type { HistoryRequest, ReadHistory } from "./read-history.ts";
import type { PlainError } from "../repository/threads/worker-protocol.ts";

/** Each kind of work: what it is given, and what it results in. */
export interface Works {
  readonly capture: {
    readonly input: { readonly policy: Policy; readonly source: Source };
    readonly output: CapturedPoint;
  };
  /** The points in the order of the sources. */
  readonly captureGroup: {
    readonly input: { readonly policy: Policy; readonly sources: readonly Source[] };
    readonly output: readonly CapturedPoint[];
  };
  /** `job`: replications of the same number share what they read of the primary. */
  readonly replicate: {
    readonly input: { readonly policy: Policy; readonly to: Replication; readonly job: number };
    readonly output: Replicated;
  };
  readonly prune: { readonly input: { readonly policy: Policy; readonly location: string }; readonly output: Pruned };
  readonly sweep: {
    readonly input: { readonly location: string; readonly holder: string };
    readonly output: SweepReport;
  };
  readonly check: {
    readonly input: { readonly location: string; readonly readData: ReadData | undefined };
    readonly output: CheckReport;
  };
  readonly history: { readonly input: HistoryRequest; readonly output: ReadHistory };
}

export type Work = keyof Works;

/** Work for the process; the configuration is the one in force. */
export type WorkRequest = {
  readonly [W in Work]: {
    readonly kind: "work";
    readonly id: number;
    readonly config: Config;
    readonly work: W;
    readonly input: Works[W]["input"];
  };
}[Work];

/** `config`: another one has come into force. `ping` is to be answered at once, by `alive`. */
export type ToWork =
  | WorkRequest
  | { readonly kind: "config"; readonly config: Config }
  | { readonly kind: "abort"; readonly id: number }
  | { readonly kind: "ping" };

export type FromWork =
  | { readonly kind: "progress"; readonly id: number; readonly done: number; readonly total: number | undefined }
  | { readonly kind: "done"; readonly id: number; readonly output: unknown }
  | { readonly kind: "failed"; readonly id: number; readonly error: PlainError }
  | { readonly kind: "alive" };
