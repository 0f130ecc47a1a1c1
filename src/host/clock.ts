/**
 * The only place that knows the time or waits for it, so that a test can own both.
 */

import { cancelled } from "./cancel.ts";

export interface Clock {
  /** Wall-clock time in ms since the epoch. May jump either way when an administrator or NTP sets it. */
  now(): number;
  /** Ms since an arbitrary start, the same for all threads and processes; never goes back. For durations and timeouts. */
  monotonic(): number;
  /**
   * Resolves after `ms` (at once when that isn't positive).
   *
   * @throws StillpointError `cancelled` when the signal aborts, or has aborted already.
   */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** Tells how long ago it was made, in ms. By the clock that lasts longer: one stands still while the machine sleeps, the other can be set back. */
export function stopwatch(clock: Pick<Clock, "now" | "monotonic">): () => number {
  const wall = clock.now();
  const monotonic = clock.monotonic();
  return () => Math.max(clock.now() - wall, clock.monotonic() - monotonic);
}

/** Node's timers overflow at 2^31 ms and then fire at once, so a longer sleep is taken in steps. */
const longestTimer = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => {
    const [seconds, nanoseconds] = process.hrtime();
    return seconds * 1000 + nanoseconds / 1e6;
  },
  async sleep(ms, signal) {
    if (signal?.aborted) throw cancelled();
    for (let left = ms; left > 0; left -= longestTimer) await oneTimer(Math.min(left, longestTimer), signal);
  },
};

function oneTimer(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      reject(cancelled());
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal?.addEventListener("abort", stop, { once: true });
  });
}
