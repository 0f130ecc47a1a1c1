/**
 * Does the work in a process of its own, started when there is some and ended when there is none: what capturing takes in
 * memory is given back, and a capture that dies doesn't take the metrics with it (docs/decisions/0032-a-process-for-the-work.md).
 */
import type { ChildProcess } from "node:child_process";
import { StillpointError } from "../errors.ts";
import { throwIfCancelled } from "../host/cancel.ts";
import type { Clock } from "../host/clock.ts";
import { forkModule, moduleBeside } from "../host/module-beside.ts";
import type { Stages } from "../job/stages.ts";
import type { Config } from "../policy/config.ts";
import { fromPlainError } from "../repository/threads/worker-protocol.ts";
import type { FromWork, ToWork, Work, WorkRequest, Works } from "./work-protocol.ts";

/** How long, in ms, the process waits for more before it is ended. */
const linger = 2000;
/** How often, in ms, it is asked whether it is alive; and how long it may say nothing at all. */
const pingInterval = 30_000;
const longestSilence = 5 * 60_000;

export interface WorkOptions {
  readonly config: () => Config;
  readonly version: string;
  readonly clock: Clock;
  /** The program of the process; only tests have another one. */
  readonly entry?: URL;
}

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  readonly progress?: ((done: number, total: number | undefined) => void) | undefined;
}

interface Pending {
  readonly child: ChildProcess;
  readonly result: PromiseWithResolvers<unknown>;
  readonly progress: CallOptions["progress"];
}

export class WorkProcess {
  readonly #options: WorkOptions;
  readonly #pending = new Map<number, Pending>();
  readonly #jobs = new WeakMap<object, number>();
  #child: ChildProcess | undefined;
  #lingering: AbortController | undefined;
  #lastId = 0;
  #lastJob = 0;

  constructor(options: WorkOptions) {
    this.#options = options;
  }

  /** The stages of jobs, each done in the process. */
  get stages(): Stages {
    return {
      capture: async ({ policy, source, ...call }) => await this.run("capture", { policy, source }, call),
      captureGroup: async ({ policy, sources, ...call }) => await this.run("captureGroup", { policy, sources }, call),
      replicate: async ({ policy, to, job, signal, progress }) =>
        await this.run(
          "replicate",
          { policy, to, job: this.#numberOf(job) },
          {
            signal,
            progress: (done, total) => progress(done, total ?? done),
          },
        ),
      prune: async ({ policy, location, signal }) => await this.run("prune", { policy, location }, { signal }),
    };
  }

  /** Throws what the work throws, or `internal` when the process dies over it. */
  async run<W extends Work>(
    work: W,
    input: Works[W]["input"],
    { signal, progress }: CallOptions = {},
  ): Promise<Works[W]["output"]> {
    throwIfCancelled(signal);
    this.#lingering?.abort();
    const id = ++this.#lastId;
    const child = (this.#child ??= this.#start());
    const result = Promise.withResolvers<unknown>();
    this.#pending.set(id, { child, result, progress });
    const abort = (): void => send(child, { kind: "abort", id });
    signal?.addEventListener("abort", abort, { once: true });
    try {
      // `work` and `input` belong together by the signature; TypeScript can't see that in the union.
      send(child, { kind: "work", id, config: this.#options.config(), work, input } as WorkRequest);
      return (await result.promise) as Works[W]["output"];
    } finally {
      signal?.removeEventListener("abort", abort);
      this.#pending.delete(id);
      if (this.#pending.size === 0) void this.#endSoon();
    }
  }

  /** Tells a process at work of a new configuration: what changes there, such as a replica's bandwidth, holds at once. */
  reconfigure(config: Config): void {
    if (this.#child !== undefined) send(this.#child, { kind: "config", config });
  }

  /** Ends the process, whatever it is at. */
  close(): void {
    this.#lingering?.abort();
    this.#child?.kill("SIGKILL");
  }

  #start(): ChildProcess {
    const { version, entry = usualEntry } = this.#options;
    const child = forkModule(entry, [version], {
      serialization: "advanced",
      stdio: ["ignore", "ignore", "inherit", "ipc"],
    });
    const ended = new AbortController();
    void this.#watch(child, ended.signal);
    child.on("message", (message) => this.#receive(message as FromWork));
    child.on("error", () => undefined);
    child.on("exit", (code, signal) => {
      ended.abort();
      if (this.#child === child) this.#child = undefined;
      this.#fail(child, gone(signal ?? `status ${String(code)}`));
    });
    return child;
  }

  #fail(child: ChildProcess, error: StillpointError): void {
    for (const { child: busy, result } of this.#pending.values()) if (busy === child) result.reject(error);
  }

  /** One that says nothing any more, whatever it is asked, is ended: what it was at fails, and is tried again by the next run. */
  async #watch(child: ChildProcess, ended: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    let heard = clock.monotonic();
    child.on("message", () => {
      heard = clock.monotonic();
    });
    while (!ended.aborted) {
      send(child, { kind: "ping" });
      await clock.sleep(pingInterval, ended).catch(() => undefined);
      if (clock.monotonic() - heard < longestSilence) continue;
      this.#fail(child, silent());
      child.kill("SIGKILL");
    }
  }

  #receive(message: FromWork): void {
    if (message.kind === "alive") return;
    const pending = this.#pending.get(message.id);
    if (message.kind === "progress") pending?.progress?.(message.done, message.total);
    else if (message.kind === "done") pending?.result.resolve(message.output);
    else pending?.result.reject(fromPlainError(message.error));
  }

  async #endSoon(): Promise<void> {
    const lingering = new AbortController();
    this.#lingering = lingering;
    try {
      await this.#options.clock.sleep(linger, lingering.signal);
    } catch {
      return; // More work has come.
    }
    const child = this.#child;
    this.#child = undefined;
    child?.disconnect();
  }

  #numberOf(job: object): number {
    const number = this.#jobs.get(job) ?? ++this.#lastJob;
    this.#jobs.set(job, number);
    return number;
  }
}

const usualEntry = moduleBeside(import.meta.url, "work-main");

/** A process that has ended can't be told anything; that it has is heard by its `exit`. */
function send(child: ChildProcess, message: ToWork): void {
  child.send(message, () => undefined);
}

function silent(): StillpointError {
  return new StillpointError("internal", {
    what: `The process that does the work has said nothing for ${String(longestSilence / 60_000)} min, and was ended`,
    safe: "Recovery points that were committed are kept; what was stored is found again.",
    next: "Look whether something had stopped it, or memory was short (`journalctl -k`); the next run starts a new one.",
  });
}

function gone(how: string): StillpointError {
  return new StillpointError("internal", {
    what: `The process that does the work has ended (${how})`,
    safe: "Recovery points that were committed are kept; what was stored is found again.",
    next: "Look into the system's log whether memory was short (`journalctl -k`); the next run starts a new one.",
  });
}
