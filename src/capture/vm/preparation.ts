/** What is known and made of a guest before its instant. */
import type { Clock } from "../../host/clock.ts";
import type { RecoveryPoint } from "../../repository/points/manifest.ts";
import type { Base } from "./bitmaps.ts";
import type { Disk, Drive } from "./disks.ts";
import type { Flash } from "./flash.ts";
import type { Guest } from "./guest.ts";
import type { MachineDescription } from "./machine.ts";
import type { Fitness } from "./preflight.ts";
import type { VmSource } from "./vm-source.ts";
import type { Watchdog } from "./watchdog.ts";

export interface PrepareOptions {
  readonly clock: Clock;
  /** The source's newest recovery point, when it can be relied on. */
  readonly previous: RecoveryPoint | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface Preparation extends PrepareOptions {
  readonly source: VmSource;
  readonly guest: Guest;
  readonly watchdog: Watchdog;
  readonly drives: readonly Drive[];
  readonly disks: readonly Disk[];
  readonly flash: Flash;
  readonly fitness: Fitness;
  readonly machine: MachineDescription;
  /** What is taken over of each disk, or why nothing is. */
  readonly bases: ReadonlyMap<string, Base | string>;
  readonly folder: string;
}
