import { isStillpointError } from "../../errors.ts";
import type { Clock } from "../../host/clock.ts";
import type { Random } from "../../host/random.ts";
import type { CallOptions, Storage } from "../storage.ts";

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
 * Tries again what failed with an error that says it may succeed (`retryable`). All calls of the contract can be
 * repeated: `put` replaces, `delete` forgives, a listing begins anew and skips what it has yielded already.
 *
 * The waits are exponential with full jitter: evenly spread between nothing and the bound, so that many clients that
 * failed together don't come back together (M. Brooker, "Exponential Backoff And Jitter", AWS, 2015).
 */
export function withRetry(storage: Storage, options: RetryOptions): Storage {
  const { clock, random, attempts = 5, firstDelay = 200, longestDelay = 10_000 } = options;

  /** Returns when the next try may begin, or throws `error` when there is none. */
  const pause = async (error: unknown, failures: number, signal: AbortSignal | undefined): Promise<void> => {
    if (failures >= attempts || !mayPass(error)) throw error;
    await clock.sleep(random.fraction() * Math.min(longestDelay, firstDelay * 2 ** (failures - 1)), signal);
  };

  const repeat = async <T>({ signal }: CallOptions, call: () => Promise<T>): Promise<T> => {
    for (let failures = 1; ; failures++) {
      try {
        return await call();
      } catch (error) {
        await pause(error, failures, signal);
      }
    }
  };

  return {
    location: storage.location,
    put: (name, data, call = {}) => repeat(call, () => storage.put(name, data, call)),
    get: (name, range, call = {}) => repeat(call, () => storage.get(name, range, call)),
    stat: (name, call = {}) => repeat(call, () => storage.stat(name, call)),
    delete: (name, call = {}) => repeat(call, () => storage.delete(name, call)),

    async *list(prefix, call = {}) {
      const yielded = new Set<string>();
      for (let failures = 1; ; failures++) {
        try {
          for await (const info of storage.list(prefix, call)) {
            if (yielded.has(info.name)) continue;
            yielded.add(info.name);
            yield info;
          }
          return;
        } catch (error) {
          await pause(error, failures, call.signal);
        }
      }
    },
  };
}

function mayPass(error: unknown): boolean {
  return isStillpointError(error) && error.retryable && error.code !== "cancelled";
}
