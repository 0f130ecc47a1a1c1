/** What an aborted signal turns into: the one error `cancelled`. */

import { StillpointError } from "../errors.ts";

export function cancelled(): StillpointError {
  return new StillpointError("cancelled", {
    what: "The work was cancelled",
    safe: "What was complete before is kept.",
  });
}

/** @throws StillpointError `cancelled` when the signal has aborted. */
export function throwIfCancelled(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw cancelled();
}

/**
 * The result of `work`, unless the signal aborts first. The work itself can't be interrupted (a system call on
 * a dead network mount, say): it is left to end by itself, and its result is dropped.
 *
 * @throws StillpointError `cancelled` when the signal aborts before the work is done.
 */
export async function unlessCancelled<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return await work;
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const stop = (): void => reject(cancelled());
  if (signal.aborted) stop();
  signal.addEventListener("abort", stop, { once: true });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}
