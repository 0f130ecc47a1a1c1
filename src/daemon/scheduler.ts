/** Starts what is due, by its own clock. */
import { isStillpointError } from "../errors.ts";
import type { Clock } from "../host/clock.ts";
import { nextRun, type RunHistory, type Schedule } from "../policy/schedule.ts";

/** Something that is started on a schedule. */
export interface Entry {
  /** Unique; the jitter is drawn from it. */
  readonly name: string;
  readonly schedule: Schedule;
  readonly history: () => RunHistory;
  /** While it is busy it isn't started; a run that becomes due meanwhile waits. */
  readonly busy: () => boolean;
  /** `lag`: how late it is, in ms. Must return at once, and make `busy` or `history` say so. */
  readonly start: (lag: number) => void;
}

/** The clock may be set, and a machine may sleep: so it is looked at again after this many ms, however far the next run is. */
const longestSleep = 5000;

export class Scheduler {
  readonly #clock: Clock;
  readonly #entries: () => readonly Entry[];
  #sleep = new AbortController();
  #ticked: number;

  /** `entries` gives those in force; it is asked at each tick. */
  constructor(clock: Clock, entries: () => readonly Entry[]) {
    this.#clock = clock;
    this.#entries = entries;
    this.#ticked = clock.monotonic();
  }

  /** How long ago, in ms, the entries were looked at. A few seconds at most, or something is badly wrong. */
  get sinceTick(): number {
    return this.#clock.monotonic() - this.#ticked;
  }

  /** When the entry starts next, in ms since the epoch: in the past when it waits for something; undefined when never. */
  nextRun({ name, schedule, history }: Entry): number | undefined {
    return nextRun(schedule, name, this.#clock.now(), history());
  }

  /** Looks again now: something has become free, or the entries are others. */
  wake(): void {
    this.#sleep.abort();
  }

  /** Until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#sleep = new AbortController();
      const pause = this.#tick();
      try {
        await this.#clock.sleep(pause, AbortSignal.any([this.#sleep.signal, signal]));
      } catch (error) {
        if (!isStillpointError(error, "cancelled")) throw error;
      }
    }
  }

  /** Starts what is due; returns for how long nothing will be. */
  #tick(): number {
    this.#ticked = this.#clock.monotonic();
    let pause = longestSleep;
    for (const entry of this.#entries()) {
      if (entry.busy()) continue;
      const due = this.nextRun(entry);
      if (due === undefined) continue;
      const lag = this.#clock.now() - due;
      if (lag >= 0) entry.start(lag);
      else pause = Math.min(pause, -lag);
    }
    return pause;
  }
}
