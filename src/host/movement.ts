/** A limit for work that may take as long as it likes while it gets on. */
import type { Clock } from "./clock.ts";

export interface WorkOptions {
  /** What to throw when the work was ended because nothing moved; `cause` is what it threw then. */
  readonly stalled: (cause?: unknown) => Promise<Error>;
  readonly signal?: AbortSignal | undefined;
}

export class Movement {
  readonly #clock: Clock;
  readonly #limit: number;
  #last = 0;

  /** @param limit in ms: how long nothing may move */
  constructor(clock: Clock, limit: number) {
    this.#clock = clock;
    this.#limit = limit;
  }

  /** To be called whenever something has moved, however little. */
  readonly moved = (): void => {
    this.#last = this.#clock.monotonic();
  };

  /**
   * Does the work, whose signal aborts when nothing has moved for as long as the limit. It is waited for even then, so it must heed
   * the signal. Throws what `stalled` gives, or what the work throws.
   */
  async during<T>({ stalled, signal }: WorkOptions, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const still = new AbortController();
    const done = new AbortController();
    this.moved();
    void this.#watch(still, done.signal);
    try {
      const result = await work(signal === undefined ? still.signal : AbortSignal.any([signal, still.signal]));
      if (!still.signal.aborted) return result;
    } catch (error) {
      // Whatever it threw afterwards is a consequence.
      throw still.signal.aborted ? await stalled(error) : error;
    } finally {
      done.abort();
    }
    throw await stalled();
  }

  async #watch(still: AbortController, done: AbortSignal): Promise<void> {
    try {
      for (let left = this.#limit; left > 0; left = this.#last + this.#limit - this.#clock.monotonic())
        await this.#clock.sleep(left, done);
      still.abort();
    } catch {
      // The work is done.
    }
  }
}
