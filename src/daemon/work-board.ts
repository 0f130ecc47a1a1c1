/** What runs just now, and how far it is. */
import type { Clock } from "../host/clock.ts";
import type { JobEvent } from "../job/report.ts";
import type { WorkStatus } from "./control-protocol.ts";

/** What a task is about: the part of its status that stays. */
export type TaskName = Pick<WorkStatus, "stage"> & Partial<Pick<WorkStatus, "policy" | "source" | "location">>;

/** The tasks of one job. */
export interface JobTasks {
  hear(event: JobEvent): void;
  /** Whatever became of it. */
  end(): void;
}

export class WorkBoard {
  readonly #clock: Clock;
  readonly #tasks = new Set<Task>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** What is at work, and what waits for its turn. */
  get status(): WorkStatus[] {
    return [...this.#tasks].map((task) => task.status);
  }

  /** Takes up a task. It waits until it is told to `start`. */
  add(name: TaskName): Task {
    const task = new Task(name, this.#clock, () => this.#tasks.delete(task));
    this.#tasks.add(task);
    return task;
  }

  /** Takes up a job: its captures wait for their turn, the rest appears when it begins. */
  addJob(policy: string, sources: readonly string[]): JobTasks {
    const tasks = new Map<string, Task>();
    const taskOf = (name: TaskName): Task => {
      const key = JSON.stringify(name);
      const task = tasks.get(key) ?? this.add(name);
      tasks.set(key, task);
      return task;
    };
    for (const source of sources) taskOf({ stage: "capture", policy, source });
    return {
      hear: (event) => {
        const task = taskOf(nameOf(policy, event));
        if ("finished" in event) task.end();
        else if ("done" in event) task.progress(event.done, event.total);
        else task.start();
      },
      end: () => {
        for (const task of tasks.values()) task.end();
      },
    };
  }
}

function nameOf(policy: string, event: JobEvent): TaskName {
  if ("source" in event) return { stage: "capture", policy, source: event.source };
  if ("replica" in event) return { stage: "replication", policy, location: event.replica };
  return { stage: "prune", policy, location: event.location };
}

/** A rate is that of about so many ms: steady enough to be read, and soon right when it changes. */
const memory = 15_000;
/** Updates that are closer together than this, in ms, say little about a rate. */
const shortest = 500;

export class Task {
  readonly #name: TaskName;
  readonly #clock: Clock;
  readonly #ended: () => void;
  #started: number | undefined;
  #done: number | undefined;
  #total: number | undefined;
  /** In bytes per ms, as of the last time that it was measured, and what was done then. */
  #rate: number | undefined;
  #measured: { readonly at: number; readonly done: number } | undefined;

  constructor(name: TaskName, clock: Clock, ended: () => void) {
    this.#name = name;
    this.#clock = clock;
    this.#ended = ended;
  }

  start(): void {
    this.#started ??= this.#clock.now();
  }

  /** In bytes; `total` is undefined while it isn't known. */
  progress(done: number, total: number | undefined): void {
    this.start();
    this.#done = done;
    this.#total = total;
    const at = this.#clock.monotonic();
    const before = this.#measured;
    if (before !== undefined && at - before.at < shortest) return;
    this.#measured = { at, done };
    if (before === undefined) return;
    const now = (done - before.done) / (at - before.at);
    this.#rate = this.#rate === undefined ? now : now + (this.#rate - now) * Math.exp((before.at - at) / memory);
  }

  end(): void {
    this.#ended();
  }

  get status(): WorkStatus {
    const { policy, source, location, stage } = this.#name;
    const rate = this.#rateNow();
    const total = this.#total !== undefined && this.#total >= (this.#done ?? 0) ? this.#total : undefined;
    const left = total === undefined || rate === undefined ? undefined : (total - (this.#done ?? 0)) / rate;
    return {
      stage,
      policy,
      source,
      location,
      started: this.#started,
      done: this.#done,
      total,
      rate: rate === undefined ? undefined : Math.round(rate * 1000),
      timeLeft: left === undefined ? undefined : Math.round(left),
    };
  }

  /** What stands still gets slower with every second. Undefined while there is none worth telling. */
  #rateNow(): number | undefined {
    if (this.#rate === undefined || this.#measured === undefined) return undefined;
    const silence = this.#clock.monotonic() - this.#measured.at;
    const rate = this.#rate * Math.exp(-Math.max(0, silence - shortest) / memory);
    return rate * 1000 < 1 ? undefined : rate;
  }
}
