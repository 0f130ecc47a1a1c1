/** How fast a replica's line may be used, by the time of day. Pure. */
import { type Blackout, blackoutAt } from "./blackout.ts";

/** In bytes per second; undefined is as fast as it goes. */
export type Rate = number | undefined;

export interface Bandwidth {
  /** Outside of the windows. */
  readonly usual: Rate;
  /** Of the windows: an IANA name. */
  readonly timezone: string;
  /** The first one that contains an instant counts there. */
  readonly windows: readonly BandwidthWindow[];
}

/** A stretch of each of some days of the week, as a blackout is. */
export interface BandwidthWindow extends Blackout {
  readonly rate: Rate;
}

/** What may be used at `time`, in ms since the epoch. */
export function rateAt({ usual, timezone, windows }: Bandwidth, time: number): Rate {
  const window = windows.find((one) => blackoutAt([one], timezone, time) !== undefined);
  return window === undefined ? usual : window.rate;
}
