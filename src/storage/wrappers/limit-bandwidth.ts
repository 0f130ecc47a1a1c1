import type { Clock } from "../../host/clock.ts";
import { sizeOf } from "../size-of.ts";
import type { Storage } from "../storage.ts";

export interface BandwidthOptions {
  readonly clock: Clock;
  /** Bytes per second, up and down together, more than 0. */
  readonly rate: number;
}

/**
 * Keeps the bytes put and got within a rate, measured over seconds: an object that may go goes at full speed, and those
 * after it wait until it is paid for.
 */
export function withBandwidthLimit(storage: Storage, options: BandwidthOptions): Storage {
  const bucket = new TokenBucket(options);
  return {
    location: storage.location,
    async put(name, data, call = {}) {
      await bucket.take(sizeOf(data), call.signal);
      await storage.put(name, data, call);
    },
    async get(name, range, call = {}) {
      if (range) await bucket.take(range.length, call.signal);
      const data = await storage.get(name, range, call);
      // What comes without a range has a size that is known only now: it is paid for before anything else moves.
      if (!range) await bucket.take(data.length, call.signal);
      return data;
    },
    stat: (name, call) => storage.stat(name, call),
    list: (prefix, call) => storage.list(prefix, call),
    delete: (name, call) => storage.delete(name, call),
  };
}

/** Holds one second's worth of tokens at most, and may go into debt: who takes more than there is waits until it is paid. */
class TokenBucket {
  readonly #clock: Clock;
  /** Tokens per ms. */
  readonly #rate: number;
  #level: number;
  #filled: number;

  constructor({ clock, rate }: BandwidthOptions) {
    this.#clock = clock;
    this.#rate = rate / 1000;
    this.#level = rate;
    this.#filled = clock.monotonic();
  }

  async take(tokens: number, signal: AbortSignal | undefined): Promise<void> {
    this.#fill();
    this.#level -= tokens;
    if (this.#level >= 0) return;
    try {
      await this.#clock.sleep(-this.#level / this.#rate, signal);
    } catch (error) {
      this.#level += tokens;
      throw error;
    }
  }

  #fill(): void {
    const now = this.#clock.monotonic();
    this.#level = Math.min(1000 * this.#rate, this.#level + (now - this.#filled) * this.#rate);
    this.#filled = now;
  }
}
