/** Who may move how many bytes when, so that all who use one line together keep to its rate. */
import type { Clock } from "../host/clock.ts";

/** Cells of the shared memory. */
const cells = { taken: 0, granted: 1, filled: 2 } as const;

/** The longest wait before the rate is looked at again, in ms: it may have changed. */
const longestSleep = 2000;

export interface BandwidthMeterOptions {
  readonly clock: Clock;
  /** From `meterMemory`: meters with the same memory, in other threads too, share the rate. */
  readonly memory: SharedArrayBuffer;
  /** Bytes per second, more than 0, as it is now; undefined is as fast as it goes. */
  readonly rate: () => number | undefined;
}

export function meterMemory(): SharedArrayBuffer {
  return new SharedArrayBuffer(8 * Object.keys(cells).length);
}

/**
 * A token bucket. It holds one second's worth at most, and may go into debt: who takes more than there is waits until that
 * is paid, first come, first served. Without locks, since a thread may be ended at any instruction: what is granted for a
 * stretch of time is granted by whoever first notes that it has passed.
 */
export class BandwidthMeter {
  readonly #clock: Clock;
  readonly #rate: () => number | undefined;
  /** Bytes taken and bytes granted since the beginning; µs of the monotonic clock up to which has been granted. */
  readonly #cells: BigInt64Array;

  constructor({ clock, memory, rate }: BandwidthMeterOptions) {
    this.#clock = clock;
    this.#rate = rate;
    this.#cells = new BigInt64Array(memory);
  }

  /** Resolves when that many bytes may be moved. Throws `cancelled`; then they don't count. */
  async take(bytes: number, signal?: AbortSignal): Promise<void> {
    this.#grant(this.#rate());
    const mine = Atomics.add(this.#cells, cells.taken, BigInt(bytes)) + BigInt(bytes);
    try {
      for (;;) {
        const rate = this.#rate();
        const lacking = Number(mine - this.#grant(rate));
        if (rate === undefined || lacking <= 0) return;
        await this.#clock.sleep(Math.min(longestSleep, Math.ceil((lacking / rate) * 1000)), signal);
      }
    } catch (error) {
      Atomics.add(this.#cells, cells.granted, BigInt(bytes));
      throw error;
    }
  }

  /** Grants what the time since the last grant is worth. Returns the sum of all grants. */
  #grant(rate: number | undefined): bigint {
    const now = BigInt(Math.floor(this.#clock.monotonic() * 1000));
    const before = Atomics.load(this.#cells, cells.filled);
    if (rate === undefined) {
      // Nobody owes anything when a limit begins again.
      Atomics.store(this.#cells, cells.filled, now);
      Atomics.store(this.#cells, cells.granted, Atomics.load(this.#cells, cells.taken));
      return Atomics.load(this.#cells, cells.granted);
    }
    const bytes = Math.floor((Number(now - before) * rate) / 1e6);
    if (bytes <= 0) return Atomics.load(this.#cells, cells.granted);
    // Only the time that whole bytes are worth has been used.
    const until = before + BigInt(Math.floor((bytes * 1e6) / rate));
    const first = Atomics.compareExchange(this.#cells, cells.filled, before, until) === before;
    return first ? this.#add(BigInt(bytes), BigInt(Math.floor(rate))) : Atomics.load(this.#cells, cells.granted);
  }

  /** Idle time is saved up to one second's worth. */
  #add(bytes: bigint, burst: bigint): bigint {
    for (;;) {
      const granted = Atomics.load(this.#cells, cells.granted);
      const most = Atomics.load(this.#cells, cells.taken) + burst;
      const next = granted + bytes < most ? granted + bytes : most;
      if (Atomics.compareExchange(this.#cells, cells.granted, granted, next) === granted) return next;
    }
  }
}
