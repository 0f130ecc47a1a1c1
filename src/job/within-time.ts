/** A time limit for work that may wait for something dead. */
import { isStillpointError, StillpointError } from "../errors.ts";
import type { Clock } from "../host/clock.ts";
import { deadline } from "../host/deadline.ts";

export interface TimeLimit {
  readonly clock: Clock;
  /** In ms. */
  readonly limit: number;
  /** Who has to answer, for the message. */
  readonly location: string;
  readonly signal?: AbortSignal | undefined;
}

/** Aborts the work's signal when the time is over; throws `storage_unreachable` then, else what the work throws. */
export async function withinTime<T>(
  { clock, limit, location, signal }: TimeLimit,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  using timeout = deadline(clock, limit);
  try {
    return await work(AbortSignal.any(signal === undefined ? [timeout.signal] : [timeout.signal, signal]));
  } catch (error) {
    if (!timeout.signal.aborted || !isStillpointError(error, "cancelled")) throw error;
    throw new StillpointError("storage_unreachable", {
      what: `${location} has not answered for ${String(limit / 1000)} s`,
      safe: "The other locations go on without it.",
      next: "See whether its disk or share is still there.",
    });
  }
}
