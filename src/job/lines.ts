/** The lines to the replicas: how fast each may be used, by all of this process together. */
import type { Clock } from "../host/clock.ts";
import { type Bandwidth, rateAt } from "../policy/bandwidth.ts";
import type { Config } from "../policy/config.ts";
import { BandwidthMeter, meterMemory } from "../storage/bandwidth-meter.ts";

interface Line {
  readonly bandwidth: Bandwidth;
  readonly memory: SharedArrayBuffer;
}

const unlimited: Bandwidth = { usual: undefined, timezone: "UTC", windows: [] };

export class Lines {
  readonly #config: () => Config;
  readonly #lines = new Map<string, Line>();

  /** `config` gives the one in force: a rate that it changes holds from then on. */
  constructor(config: () => Config) {
    this.#config = config;
  }

  /** With the rates as they are now. A replica that is in the configuration no more has its last ones. */
  to(replica: string): Line {
    const configured = this.#config().replicas.find(({ name }) => name === replica);
    const last = this.#lines.get(replica);
    const bandwidth = configured === undefined ? last?.bandwidth : configured.bandwidth;
    const line = { bandwidth: bandwidth ?? unlimited, memory: last?.memory ?? meterMemory() };
    this.#lines.set(replica, line);
    return line;
  }

  meterOf(replica: string, clock: Clock): BandwidthMeter {
    const { memory } = this.to(replica);
    return new BandwidthMeter({ clock, memory, rate: () => rateAt(this.to(replica).bandwidth, clock.now()) });
  }
}
