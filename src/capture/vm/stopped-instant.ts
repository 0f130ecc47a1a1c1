/** The instant of a guest whose memory can't be saved while it runs: it stands still until all is saved. */
import type { Clock } from "../../host/clock.ts";
import type { Instant, Taken } from "./instant.ts";
import type { Points } from "./points.ts";
import { isUnderWay, type Saving } from "./saving.ts";
import type { Standstill } from "./standstill.ts";
import { failed } from "./trouble.ts";
import type { Guest } from "./guest.ts";

export interface StoppedInstantOptions {
  readonly guest: Guest;
  readonly points: Points;
  readonly saving: Saving;
  readonly standstill: Standstill;
  readonly clock: Clock;
  /** In ms. */
  readonly maxPause: number;
}

export class StoppedInstant implements Instant {
  readonly method = "stopped";
  readonly #options: StoppedInstantOptions;

  constructor(options: StoppedInstantOptions) {
    this.#options = options;
  }

  async pause(): Promise<void> {
    const { standstill, saving, maxPause, clock } = this.#options;
    await standstill.stop();
    await saving.begin();
    while (isUnderWay(await saving.state())) {
      if (standstill.elapsed > maxPause) throw await this.#cancel();
      await clock.sleep(2);
    }
    await saving.ended();
  }

  /** Not earlier: a save ends by making all block nodes inactive, which those of the points don't allow. */
  async point(): Promise<void> {
    await this.#options.points.prepare();
    await this.#options.points.set();
  }

  async resume(): Promise<Taken> {
    await this.giveUp();
    return this.#options.standstill.measured;
  }

  async giveUp(): Promise<void> {
    await this.#options.standstill.go();
  }

  /** Safe here, since nothing of a guest that stands still is write-protected. */
  async #cancel(): Promise<Error> {
    const { guest, saving, clock, maxPause } = this.#options;
    await guest.qmp.execute("migrate_cancel");
    while (isUnderWay(await saving.state())) await clock.sleep(2);
    return failed(
      `Saving the guest's memory took longer than the longest pause of ${maxPause} ms`,
      "Give the source a longer `max_pause`, or QEMU what it needs to save memory while the guest runs (docs/vm.md).",
    );
  }
}
