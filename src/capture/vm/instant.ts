/** How a guest is brought to one instant. */
import type { Clock } from "../../host/clock.ts";
import type { Machine } from "../../repository/points/machine.ts";
import type { Points } from "./points.ts";
import type { Saving } from "./saving.ts";
import type { Standstill } from "./standstill.ts";

/**
 * The phases of several guests can be interleaved: when all are paused before the first point is set, and all points are set
 * before the first guest is resumed, they are all of one instant.
 *
 * When a phase throws, `giveUp` lets the guest run; what was begun goes on only so far as it can't be cancelled.
 */
export interface Instant {
  readonly method: Machine["method"];
  pause(): Promise<void>;
  /** Sets the points of the disks. */
  point(): Promise<void>;
  /** Returns when the guest runs, and the instant is known to be one. */
  resume(): Promise<Taken>;
  /** Lets the guest run, whatever happened before. */
  giveUp(): Promise<void>;
}

export interface Taken {
  /** The instant, in ms since the epoch. */
  readonly time: number;
  /** In ms, for which the guest did not run. */
  readonly pause: number;
}

/** What every instant is made with. */
export interface InstantOptions {
  readonly points: Points;
  readonly standstill: Standstill;
  readonly clock: Clock;
}

/** And one with memory. */
export interface SavedInstantOptions extends InstantOptions {
  readonly saving: Saving;
  /** In ms. */
  readonly maxPause: number;
}

/** The attempt came to nothing, and another may succeed. */
export class Missed extends Error {}
