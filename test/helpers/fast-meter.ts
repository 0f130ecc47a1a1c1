import { systemClock } from "../../src/host/clock.ts";
import { BandwidthMeter, meterMemory } from "../../src/storage/bandwidth-meter.ts";

/** A limit that nothing reaches. */
export function fastMeter(): BandwidthMeter {
  return new BandwidthMeter({ clock: systemClock, memory: meterMemory(), rate: () => 1e12 });
}
