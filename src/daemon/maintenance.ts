/** Freeing space and looking for damage, at every location, on schedule. */
import { describeError, isStillpointError, StillpointError } from "../errors.ts";
import type { Clock } from "../host/clock.ts";
import type { Logger } from "../host/log.ts";
import { CheckRecords, type EndedCheck } from "../job/check-records.ts";
import { primaryName, sweptLocations } from "../job/locations.ts";
import { type ErrorReport, errorReport, type Outcome } from "../job/report.ts";
import type { StateFolder } from "../job/state-folder.ts";
import type { Metrics } from "../metrics/metrics.ts";
import type { Config } from "../policy/config.ts";
import type { CheckReport } from "../repository/check/check.ts";
import type { ReadData } from "../repository/check/packs.ts";
import type { FailureLog } from "./failure-log.ts";
import { MaintenanceRecords, type Task } from "./maintenance-records.ts";
import type { Entry } from "./scheduler.ts";
import type { Task as ShownTask, WorkBoard } from "./work-board.ts";
import type { WorkProcess } from "./work-process.ts";

export interface MaintenanceOptions {
  readonly config: () => Config;
  readonly work: Pick<WorkProcess, "run">;
  readonly state: StateFolder;
  /** For those who find the lease taken. */
  readonly holder: string;
  readonly metrics: Metrics;
  readonly failureLog: FailureLog;
  readonly board: WorkBoard;
  readonly clock: Clock;
  readonly log: Logger;
  /** Called when some work has ended. */
  readonly onFree: () => void;
}

/** As that of the regular check is by default, in ms. */
const recheckJitter = 30 * 60_000;

/** What a task came to at one location: for the log, and for whoever looks at failures. */
interface Result {
  readonly outcome: Outcome;
  readonly fields: object;
  readonly errors: readonly ErrorReport[];
}

export class Maintenance {
  readonly records: MaintenanceRecords;
  readonly #options: MaintenanceOptions;
  readonly #stop = new AbortController();
  /** The work under way: one at a time, since each walks whole repositories. */
  #running: Promise<void> | undefined;
  #rechecked: number | undefined;

  constructor(options: MaintenanceOptions) {
    this.#options = options;
    this.records = new MaintenanceRecords(options.state);
  }

  entries(): Entry[] {
    return [this.entry("sweep"), this.entry("check"), this.#recheck()];
  }

  /** Aborts what is under way, and resolves when it has ended. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  /** To be called at the start, and whenever the configuration is another one. */
  async seeLocations(): Promise<void> {
    const { clock } = this.#options;
    await this.records.see(this.#locations(), clock.now());
  }

  /** Counts the checks that somebody has made by hand since the last call. */
  async seeChecks(): Promise<void> {
    const { state, log } = this.#options;
    const checks = new CheckRecords(state);
    for (const location of this.#locations()) {
      try {
        const check = await checks.read(location);
        if (check !== undefined && (await this.records.noteByHand(location, check)))
          await this.#tellByHand(location, check);
      } catch (error) {
        log.warn("state not written", { error });
      }
    }
  }

  async #tellByHand(location: string, { time, findings, read }: EndedCheck): Promise<void> {
    const { failureLog, log } = this.#options;
    log.info("check by hand", { location, findings, read });
    const error = this.#damageAt(location);
    const errors = error === undefined ? [] : [errorReport(error)];
    await failureLog.note({ stage: "check", location, finished: time, errors });
  }

  #locations(): string[] {
    return [primaryName, ...this.#options.config().replicas.map(({ name }) => name)];
  }

  entry(task: Task): Entry {
    const { sweep, check } = this.#options.config().maintenance;
    return {
      name: task,
      schedule: task === "sweep" ? sweep : check.schedule,
      history: () => ({ lastStarted: this.records.started(task) }),
      busy: () => this.#busy,
      start: () => this.#start(async () => await this.#runScheduled(task)),
    };
  }

  /** Where the last check found damage it is looked again each day, so that it is known soon when that is mended. */
  #recheck(): Entry {
    const { clock, config } = this.#options;
    const { kind, timezone, blackout } = config().maintenance.check.schedule;
    const damaged = kind === "manual" ? [] : this.#locations().filter((location) => this.records.isDamaged(location));
    return {
      name: "recheck",
      schedule: { kind: "cron", cron: "30 5 * * *", jitter: recheckJitter, missed: "skip", timezone, blackout },
      history: () => ({ lastStarted: this.#rechecked }),
      busy: () => this.#busy || damaged.length === 0,
      start: () => {
        this.#rechecked = clock.now();
        this.#start(async () => await this.#run("check", damaged, true));
      },
    };
  }

  get #busy(): boolean {
    return this.#running !== undefined || this.#stop.signal.aborted;
  }

  #start(work: () => Promise<void>): void {
    this.#running = work().finally(() => {
      this.#running = undefined;
      this.#options.onFree();
    });
  }

  async #runScheduled(task: Task): Promise<void> {
    const { clock, log, config } = this.#options;
    await this.records.noteStart(task, clock.now()).catch((error: unknown) => log.warn("state not written", { error }));
    await this.#run(task, task === "sweep" ? sweptLocations(config()) : this.#locations());
  }

  /** Nothing is thrown: what fails at one location is logged and counted, and the next one follows. `again`: a check of what is damaged. */
  async #run(task: Task, locations: readonly string[], again = false): Promise<void> {
    for (const location of locations) {
      await this.#runAt(task, location, again);
      if (this.#stop.signal.aborted) return;
    }
  }

  async #runAt(task: Task, location: string, again: boolean): Promise<void> {
    const { clock, log, board, failureLog } = this.#options;
    const started = clock.monotonic();
    const line = log.child({ location });
    line.info(`${task} started`);
    const shown = board.add({ stage: task, location });
    shown.start();
    let result: Result;
    try {
      result = task === "sweep" ? await this.#sweep(location) : await this.#check(location, again, shown);
    } catch (error) {
      result = { outcome: "failed", fields: { error }, errors: [errorReport(error)] };
      await this.#countFailure(task, location, error);
    } finally {
      shown.end();
    }
    if (this.#stop.signal.aborted) return;
    const { outcome, fields, errors } = result;
    line[outcome === "ok" ? "info" : "error"](`${task} finished`, {
      ...fields,
      outcome,
      duration: clock.monotonic() - started,
    });
    await failureLog
      .note({ stage: task, location, finished: clock.now(), errors })
      .catch((error: unknown) => log.warn("state not written", { error }));
  }

  /** What the end of the daemon has cut off, or whose location is away, isn't remembered as failed. */
  async #countFailure(task: Task, location: string, error: unknown): Promise<void> {
    const { metrics, log } = this.#options;
    if (task === "check") metrics.countCheck(location, "failed");
    else metrics.countSweep(location, "failed", 0);
    if (this.#stop.signal.aborted || isStillpointError(error, "storage_unreachable")) return;
    await this.records
      .noteFailure(task, location, describeError(error))
      .catch((cause: unknown) => log.warn("state not written", { error: cause }));
  }

  async #sweep(location: string): Promise<Result> {
    const { work, holder, metrics, clock } = this.#options;
    const { signal } = this.#stop;
    const report = await work.run("sweep", { location, holder }, { signal });
    const { deleted, condemned, rewritten, unreadable, noRoom } = report;
    const outcome = noRoom ? "partial" : "ok";
    metrics.countSweep(location, outcome, deleted.bytes);
    await this.records.noteSweep(location, clock.now());
    return { outcome, fields: { deleted, condemned, rewritten, unreadable }, errors: [] };
  }

  async #check(location: string, again: boolean, shown: ShownTask): Promise<Result> {
    const { config, metrics } = this.#options;
    const of = config().maintenance.check.readDataParts;
    const reads = again ? this.records.damagedReads(location) : [this.records.nextRead(location, of)];
    const found = new Set<string>();
    let bytesRead = 0;
    let seen: Pick<CheckReport, "points" | "packs"> | undefined;
    for (const read of reads) {
      const { findings, points, packs, ...report } = await this.#checkOnce(location, read, shown);
      for (const { message } of findings) found.add(message);
      bytesRead += report.bytesRead;
      seen = { points, packs };
    }
    const error = this.#damageAt(location);
    const outcome = error === undefined ? "ok" : "failed";
    metrics.countCheck(location, outcome);
    const fields = { ...seen, bytesRead, findings: found.size, shown: [...found].slice(0, 20), error };
    return { outcome, fields, errors: error === undefined ? [] : [errorReport(error)] };
  }

  async #checkOnce(location: string, read: ReadData | undefined, shown: ShownTask): Promise<CheckReport> {
    const { work, clock } = this.#options;
    const progress = (done: number, total: number | undefined): void => shown.progress(done, total);
    const report = await work.run("check", { location, readData: read }, { signal: this.#stop.signal, progress });
    const { findings, foundByReading } = report;
    await this.records.noteCheck(location, { time: clock.now(), findings: findings.length, foundByReading, read });
    return report;
  }

  /** What is known of damage there, by the last check or by one that read something else. */
  #damageAt(location: string): StillpointError | undefined {
    const { findings = 0 } = this.records.at(location);
    return findings === 0 ? undefined : damageError(location, findings);
  }
}

function damageError(location: string, count: number): StillpointError {
  return new StillpointError("damaged", {
    what: `Found damage at ${location}: ${String(count)} findings`,
    safe: "Nothing was changed.",
    next: `\`stillpoint check --location ${location}\` lists it, and what it affects; \`stillpoint repair\` mends it.`,
  });
}
