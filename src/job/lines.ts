/** The lines to the replicas: how fast each may be used, by all of this process together. */
import type { Clock } from "../host/clock.ts";
import { type Bandwidth, rateAt } from "../policy/bandwidth.ts";
import type { Config } from "../policy/config.ts";
import { BandwidthMeter } from "../storage/bandwidth-meter.ts";

const unlimited: Bandwidth = { usual: undefined, timezone: "UTC", windows: [] };

export class Lines {
  readonly #config: () => Config;
  readonly #meters = new Map<string, BandwidthMeter>();

  /** `config` gives the one in force: a rate that it changes holds from then on. */
  constructor(config: () => Config) {
    this.#config = config;
  }

  /** The one meter of a replica. One that is in the configuration no more keeps its last rates. */
  meterOf(replica: string, clock: Clock): BandwidthMeter {
    const known = this.#meters.get(replica);
    if (known !== undefined) return known;
    let last = unlimited;
    const rate = (): number | undefined => {
      const configured = this.#config().replicas.find(({ name }) => name === replica);
      if (configured !== undefined) last = configured.bandwidth ?? unlimited;
      return rateAt(last, clock.now());
    };
    const meter = new BandwidthMeter({ clock, rate });
    this.#meters.set(replica, meter);
    return meter;
  }
}
