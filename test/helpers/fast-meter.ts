import { systemClock } from "../../src/host/clock.ts";
import { BandwidthMeter } from "../../src/storage/bandwidth-meter.ts";

/** A limit that nothing reaches. */
export function fastMeter(): BandwidthMeter {
  return new BandwidthMeter({ clock: systemClock, rate: () => 1e12 });
}
