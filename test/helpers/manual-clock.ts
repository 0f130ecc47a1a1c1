import { setImmediate } from "node:timers/promises";
import { cancelled } from "../../src/host/cancel.ts";
import type { Clock } from "../../src/host/clock.ts";

interface Sleeper {
  readonly wakes: number;
  readonly wake: () => void;
}

/** A clock that stands still until a test moves it. */
export class ManualClock implements Clock {
  /** How long each sleep so far was asked to be, in ms. */
  readonly slept: number[] = [];
  #now: number;
  #monotonic = 0;
  readonly #sleepers = new Set<Sleeper>();

  /** @param now ms since the epoch */
  constructor(now = Date.UTC(2026, 0, 1)) {
    this.#now = now;
  }

  now(): number {
    return this.#now;
  }

  monotonic(): number {
    return this.#monotonic;
  }

  /** How many sleep just now. */
  get sleeping(): number {
    return this.#sleepers.size;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return Promise.reject(cancelled());
    this.slept.push(ms);
    if (ms <= 0) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const stop = (): void => {
        this.#sleepers.delete(sleeper);
        reject(cancelled());
      };
      const wake = (): void => {
        this.#sleepers.delete(sleeper);
        signal?.removeEventListener("abort", stop);
        resolve();
      };
      const sleeper = { wakes: this.#monotonic + ms, wake };
      this.#sleepers.add(sleeper);
      signal?.addEventListener("abort", stop, { once: true });
    });
  }

  /** Lets `ms` pass, and wakes whoever has slept enough, in the order of their waking; what they do next has run when this resolves. */
  async advance(ms: number): Promise<void> {
    const until = this.#monotonic + ms;
    for (let next = this.#next(until); next; next = this.#next(until)) {
      this.#pass(next.wakes - this.#monotonic);
      next.wake();
      await settle();
    }
    this.#pass(until - this.#monotonic);
    await settle();
  }

  /** Wakes the sleepers, one after the other, until nobody sleeps any more. */
  async runAll(): Promise<void> {
    await settle();
    for (let next = this.#next(Number.POSITIVE_INFINITY); next; next = this.#next(Number.POSITIVE_INFINITY)) {
      await this.advance(next.wakes - this.#monotonic);
    }
  }

  /** Lets time pass until the work has ended, and gives its outcome. */
  async runUntil<T>(work: Promise<T>): Promise<T> {
    const state = { ended: false };
    const end = work.finally(() => {
      state.ended = true;
    });
    // A rejection that comes while time passes is handed on below.
    end.catch(() => undefined);
    while (!state.ended) await this.runAll();
    return await end;
  }

  /** Sets the wall clock, as an administrator or NTP would: no time passes. */
  setNow(now: number): void {
    this.#now = now;
  }

  #next(until: number): Sleeper | undefined {
    const due = [...this.#sleepers].filter(({ wakes }) => wakes <= until);
    return due.sort((a, b) => a.wakes - b.wakes)[0];
  }

  #pass(ms: number): void {
    this.#now += ms;
    this.#monotonic += ms;
  }
}

/** Lets everything that is ready to run do so. */
async function settle(): Promise<void> {
  await setImmediate();
}
