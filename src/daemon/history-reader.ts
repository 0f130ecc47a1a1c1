/** The history as it was read last, read again when somebody wants to see it and something has changed. */
import type { Clock } from "../host/clock.ts";
import type { Logger } from "../host/log.ts";
import { errorReport } from "../job/report.ts";
import type { Config, Policy } from "../policy/config.ts";
import type { History } from "./control-protocol.ts";
import type { Monitor } from "./monitor.ts";
import type { HistoryRequest, ReadHistory } from "./read-history.ts";
import type { WorkProcess } from "./work-process.ts";

export interface HistoryReaderOptions {
  readonly config: () => Config;
  readonly monitor: Monitor;
  readonly work: Pick<WorkProcess, "run">;
  readonly nextRun: (policy: Policy) => number | undefined;
  readonly clock: Clock;
  readonly log: Logger;
}

/** It is read again after so many ms though nothing seems to have changed: holds and tags aren't watched. */
const longestLife = 5 * 60_000;
/** And not before so many ms have passed, however much changes: a job changes something at each of its stages. */
const shortestLife = 5000;

interface Reading {
  readonly history: History;
  /** What it was read of; see `#stamp`. */
  readonly stamp: string;
  /** By the clock that never goes back. */
  readonly at: number;
}

export class HistoryReader {
  readonly #options: HistoryReaderOptions;
  readonly #stop = new AbortController();
  #last: Reading | undefined;
  #reading: Promise<void> | undefined;

  constructor(options: HistoryReaderOptions) {
    this.#options = options;
  }

  /** As it was read last, whenever that was; begins to read it again when that is due. */
  get latest(): History | undefined {
    if (this.#isDue) void this.#readOnce();
    return this.#last && this.#withSizes(this.#last.history);
  }

  /** As it is now, or was some minutes ago if nothing has changed since. */
  async read(): Promise<History> {
    if (this.#isDue) await this.#readOnce();
    else await this.#reading;
    return this.#withSizes(this.#last?.history ?? nothing);
  }

  /** Aborts what is under way, and resolves when it has ended. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#reading;
  }

  get #isDue(): boolean {
    if (this.#stop.signal.aborted) return false;
    if (this.#last === undefined) return true;
    const age = this.#options.clock.monotonic() - this.#last.at;
    return age >= longestLife || (age >= shortestLife && this.#stamp() !== this.#last.stamp);
  }

  async #readOnce(): Promise<void> {
    this.#reading ??= this.#read().finally(() => (this.#reading = undefined));
    await this.#reading;
  }

  async #read(): Promise<void> {
    const { monitor, work, clock, log } = this.#options;
    const stamp = this.#stamp();
    const time = clock.now();
    const locations = monitor.watches.filter(({ reachable }) => reachable).map(({ location }) => location);
    let read: ReadHistory;
    try {
      read = await work.run("history", this.#request(locations), { signal: this.#stop.signal });
    } catch (error) {
      if (this.#stop.signal.aborted) return;
      log.warn("history not read", { error });
      read = {
        unread: locations.map((location) => ({ location, error: errorReport(error) })),
        timelines: [],
        prunes: [],
      };
    }
    this.#last = { history: this.#merge(time, read), stamp, at: clock.monotonic() };
  }

  #request(locations: readonly string[]): HistoryRequest {
    const { config, monitor, nextRun } = this.#options;
    const nextRuns = config().policies.flatMap((policy): [string, number][] => {
      const next = nextRun(policy);
      return next === undefined ? [] : [[policy.name, next]];
    });
    const settled = monitor.watches.map(({ location, known }) => [location, known?.settled ?? []] as const);
    return { locations, nextRuns: Object.fromEntries(nextRuns), settled: Object.fromEntries(settled) };
  }

  /** What could not be read stays as it was known, if the policies have it still. */
  #merge(time: number, { unread, timelines, prunes }: ReadHistory): History {
    const { config, monitor } = this.#options;
    const away = monitor.watches.flatMap(({ location, error }) => (error === undefined ? [] : [{ location, error }]));
    const missing = [...unread, ...away.filter(({ location }) => unread.every((one) => one.location !== location))];
    const names = new Set(missing.map(({ location }) => location));
    const wanted = new Set(
      config().policies.flatMap(({ name, sources }) => sources.map((source) => `${name} ${source.name}`)),
    );
    const keep = ({ location, policy, source }: { location: string; policy: string; source: string }): boolean =>
      names.has(location) && wanted.has(`${policy} ${source}`);
    const before = this.#last?.history ?? nothing;
    return {
      time,
      unread: missing,
      timelines: [...timelines, ...before.timelines.filter(keep)],
      prunes: [...prunes, ...before.prunes.filter(keep)],
      sizes: [],
    };
  }

  #withSizes(history: History): History {
    const { watches } = this.#options.monitor;
    return { ...history, sizes: watches.map(({ location, sizes: samples }) => ({ location, samples })) };
  }

  /** Another one whenever points, proofs or policies may have changed. */
  #stamp(): string {
    const { config, monitor } = this.#options;
    const places = monitor.watches.map(({ location, reachable, known }) => [
      location,
      reachable,
      known?.newest.map(({ id }) => id),
      known?.verified.map(({ id }) => id),
      known?.counts,
    ]);
    return JSON.stringify([places, config().policies, config().replicas.map(({ name }) => name)]);
  }
}

const nothing: History = { time: 0, unread: [], timelines: [], prunes: [], sizes: [] };
