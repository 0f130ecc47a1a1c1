import { isStillpointError } from "../errors.ts";
import type { Clock } from "../host/clock.ts";
import type { Random } from "../host/random.ts";

export interface RetryOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** How often a call is tried at most, at least 1. By default 5. */
  readonly attempts?: number;
  /** In ms: the longest wait before the second try; it doubles with each further one. By default 200. */
  readonly firstDelay?: number;
  /** In ms: what that stops growing at. By default 10,000. */
  readonly longestDelay?: number;
}

/**
 * Repeats what failed with an error that says it may succeed (`retryable`).
 *
 * The waits are exponential with full jitter: evenly spread between nothing and the bound, so that many clients that
 * failed together don't come back together (M. Brooker, "Exponential Backoff And Jitter", AWS, 2015).
 */
export class Repeater {
  readonly #options: RetryOptions;

  constructor(options: RetryOptions) {
    this.#options = options;
  }

  async repeat<T>(call: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    for (let failures = 1; ; failures++) {
      try {
        return await call();
      } catch (error) {
        await this.pause(error, failures, signal);
      }
    }
  }

  /** Returns when the next try may begin, or throws `error` when there is none. */
  async pause(error: unknown, failures: number, signal: AbortSignal | undefined): Promise<void> {
    const { clock, random, attempts = 5, firstDelay = 200, longestDelay = 10_000 } = this.#options;
    if (failures >= attempts || !mayPass(error)) throw error;
    await clock.sleep(random.fraction() * Math.min(longestDelay, firstDelay * 2 ** (failures - 1)), signal);
  }
}

function mayPass(error: unknown): boolean {
  return isStillpointError(error) && error.retryable && error.code !== "cancelled";
}
