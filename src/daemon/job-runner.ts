/** Runs policies' jobs: at most one that captures for each policy, remembered for the schedule, the log and the metrics. */
import { StillpointError } from "../errors.ts";
import type { Clock } from "../host/clock.ts";
import type { Logger } from "../host/log.ts";
import { primaryName } from "../job/locations.ts";
import type { JobEvent, JobReport } from "../job/report.ts";
import { type JobContext, runJob } from "../job/run-job.ts";
import type { Metrics } from "../metrics/metrics.ts";
import type { Policy, Source } from "../policy/config.ts";
import type { RunHistory } from "../policy/schedule.ts";
import { logJobEvent } from "./log-job-event.ts";
import { endedIn, type FailureLog } from "./failure-log.ts";
import type { FailureRecords } from "./failure-records.ts";
import type { Monitor } from "./monitor.ts";
import { newestOf } from "./known-location.ts";
import type { WorkBoard } from "./work-board.ts";

/** By so many runs is judged how long the next one will take. */
const rememberedDurations = 5;

export interface JobRunnerOptions {
  readonly context: JobContext;
  readonly policies: () => readonly Policy[];
  readonly monitor: Monitor;
  readonly metrics: Metrics;
  readonly failures: FailureRecords;
  readonly failureLog: FailureLog;
  readonly board: WorkBoard;
  readonly clock: Clock;
  readonly log: Logger;
  /** Called when a policy may run again. */
  readonly onFree: () => void;
}

export interface StartOptions {
  /** Those of the policy by default. */
  readonly sources?: readonly Source[] | undefined;
  readonly onEvent?: ((event: JobEvent) => void) | undefined;
  /** How late it is, in ms, for a job that was scheduled. */
  readonly lag?: number | undefined;
}

/** What this process remembers of a policy's jobs. */
interface Memory {
  capturing: boolean;
  /** Jobs at work: one may still replicate while the next one captures. */
  running: number;
  started: number | undefined;
  durations: readonly number[];
  lag: number | undefined;
  last: JobReport | undefined;
}

export class JobRunner {
  readonly #options: JobRunnerOptions;
  readonly #memories = new Map<string, Memory>();
  readonly #jobs = new Set<Promise<JobReport>>();
  /** One for each job: what listens to its signal goes with the job. */
  readonly #underWay = new Set<AbortController>();
  #stopped = false;

  constructor(options: JobRunnerOptions) {
    this.#options = options;
  }

  isCapturing(policy: string): boolean {
    return this.#memories.get(policy)?.capturing ?? false;
  }

  isRunning(policy: string): boolean {
    return (this.#memories.get(policy)?.running ?? 0) > 0;
  }

  lag(policy: string): number | undefined {
    return this.#memories.get(policy)?.lag;
  }

  lastJob(policy: string): JobReport | undefined {
    return this.#memories.get(policy)?.last;
  }

  /** Of this process; what it doesn't remember is judged by the newest recovery points. */
  history(policy: Policy): RunHistory {
    const policies = this.#options.policies();
    const known = this.#options.monitor.watch(primaryName)?.known?.newest ?? [];
    const newest = policy.sources.map(({ name: source }) =>
      newestOf(known, { policy, source, location: primaryName, objective: undefined }, policies),
    );
    const times = newest.map((point) => point?.time);
    const captured = times.filter((time) => time !== undefined);
    const memory = this.#memories.get(policy.name);
    return {
      lastStarted: memory?.started ?? (captured.length === 0 ? undefined : Math.max(...captured)),
      lastPoint: captured.length < times.length ? undefined : Math.min(...captured),
      durations: memory?.durations.length ? memory.durations : newest.flatMap((point) => point?.duration ?? []),
    };
  }

  /** Throws `busy` when the policy is capturing already, or the daemon is about to end; else resolves with the report. */
  async run(policy: Policy, options: StartOptions = {}): Promise<JobReport> {
    if (this.isCapturing(policy.name)) {
      throw new StillpointError("busy", {
        what: `Cannot run ${policy.name}: it is capturing just now`,
        safe: "That run goes on.",
        next: "Wait for its end: `stillpoint status` shows it.",
      });
    }
    if (this.#stopped) throw new StillpointError("busy", { what: "Cannot run anything: the daemon is ending" });
    const controller = new AbortController();
    const job = this.#run(policy, options, controller.signal);
    this.#underWay.add(controller);
    this.#jobs.add(job);
    try {
      return await job;
    } finally {
      this.#underWay.delete(controller);
      this.#jobs.delete(job);
    }
  }

  /** Aborts all jobs, and resolves when they have ended. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const controller of this.#underWay) controller.abort();
    await Promise.allSettled(this.#jobs);
  }

  async #run(policy: Policy, { sources, onEvent, lag }: StartOptions, signal: AbortSignal): Promise<JobReport> {
    const { context, clock, metrics, failures, failureLog, board, monitor, onFree } = this.#options;
    const log = this.#options.log.child({ policy: policy.name });
    const memory = this.#memory(policy.name);
    const started = clock.now();
    memory.capturing = true;
    memory.running += 1;
    if (sources === undefined) memory.started = started;
    if (lag !== undefined) memory.lag = lag;
    log.info("job started", { lag });
    const tasks = board.addJob(
      policy.name,
      (sources ?? policy.sources).map(({ name }) => name),
    );
    let capturing = true;
    const captured = (): void => {
      // Once: by the time this job ends, the next one may be capturing.
      if (!capturing) return;
      capturing = false;
      memory.capturing = false;
      onFree();
    };
    const heard = (event: JobEvent): void => {
      tasks.hear(event);
      logJobEvent(log, event);
      onEvent?.(event);
    };
    try {
      const report = await runJob(context, {
        policy,
        sources,
        signal,
        onEvent: (event) => {
          heard(event);
          void this.#lookAfter(event, signal);
        },
        onCaptured: captured,
      });
      this.#remember(memory, report);
      metrics.countJob(report);
      await Promise.all([failures.note(report), failureLog.note(...endedIn(report))]).catch((error: unknown) =>
        log.warn("state not written", { error }),
      );
      log[report.outcome === "ok" ? "info" : "warn"]("job finished", {
        outcome: report.outcome,
        duration: report.finished - report.started,
      });
      if (!signal.aborted) await monitor.look(true, signal, [primaryName, ...reached(report)]);
      // At the end of the daemon too, which may cut that off: the next one may find the primary away, and goes by what this one knew.
      if (signal.aborted) await monitor.lookAt(primaryName, false);
      return report;
    } finally {
      tasks.end();
      memory.running -= 1;
      captured();
    }
  }

  /** What has just changed is seen by the next scrape. */
  async #lookAfter(event: JobEvent, signal: AbortSignal): Promise<void> {
    const { monitor } = this.#options;
    if (event.event === "capture-finished") await monitor.look(false, signal, [primaryName]);
    if (event.event === "replication-finished" && event.outcome !== "failed")
      await monitor.look(false, signal, [event.replica]);
  }

  #remember(memory: Memory, report: JobReport): void {
    memory.last = report;
    const captured = report.sources.filter(({ point }) => point !== undefined);
    if (captured.length === 0) return;
    const took = Math.max(...captured.map(({ finished }) => finished - report.started));
    memory.durations = [...memory.durations, took].slice(-rememberedDurations);
  }

  #memory(policy: string): Memory {
    const memory = this.#memories.get(policy) ?? {
      capturing: false,
      running: 0,
      started: undefined,
      durations: [],
      lag: undefined,
      last: undefined,
    };
    this.#memories.set(policy, memory);
    return memory;
  }
}

function reached({ replicas }: JobReport): string[] {
  return replicas.filter(({ outcome }) => outcome === "ok" || outcome === "partial").map(({ replica }) => replica);
}
