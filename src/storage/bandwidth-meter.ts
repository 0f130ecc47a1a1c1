/** Who may move how many bytes when, so that all who use one line together keep to its rate. */
import type { Clock } from "../host/clock.ts";

/** The longest wait before the rate is looked at again, in ms: it may have changed. */
const longestSleep = 2000;

export interface BandwidthMeterOptions {
  readonly clock: Clock;
  /** Bytes per second, more than 0, as it is now; undefined is as fast as it goes. */
  readonly rate: () => number | undefined;
}

/**
 * A token bucket. It holds one second's worth at most, and may go into debt: who takes more than there is waits until that
 * is paid, first come, first served.
 */
export class BandwidthMeter {
  readonly #clock: Clock;
  readonly #rate: () => number | undefined;
  /** Bytes since the beginning. */
  #taken = 0;
  #granted = 0;
  /** Up to when has been granted, by the monotonic clock. */
  #filled = 0;

  constructor({ clock, rate }: BandwidthMeterOptions) {
    this.#clock = clock;
    this.#rate = rate;
  }

  /** Resolves when that many bytes may be moved. Throws `cancelled`; then they don't count. */
  async take(bytes: number, signal?: AbortSignal): Promise<void> {
    this.#grant(this.#rate());
    this.#taken += bytes;
    const mine = this.#taken;
    try {
      for (;;) {
        const rate = this.#rate();
        const lacking = mine - this.#grant(rate);
        if (rate === undefined || lacking < 1) return;
        await this.#clock.sleep(Math.min(longestSleep, Math.ceil((lacking / rate) * 1000)), signal);
      }
    } catch (error) {
      this.#granted += bytes;
      throw error;
    }
  }

  /** Grants what the time since the last grant is worth; idle time is saved up to one second's. Returns the sum of all grants. */
  #grant(rate: number | undefined): number {
    const now = this.#clock.monotonic();
    const worth = rate === undefined ? 0 : ((now - this.#filled) * rate) / 1000;
    this.#filled = now;
    // Without a limit everything is granted, so that nobody owes anything when one begins again.
    this.#granted = rate === undefined ? this.#taken : Math.min(this.#granted + worth, this.#taken + rate);
    return this.#granted;
  }
}
