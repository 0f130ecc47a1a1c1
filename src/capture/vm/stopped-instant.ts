/** The instant of a guest whose memory can't be saved while it runs: it stands still until all is saved. */
import type { Instant, SavedInstantOptions, Taken } from "./instant.ts";
import { isUnderWay } from "./saving.ts";
import { failed } from "./trouble.ts";

export class StoppedInstant implements Instant {
  readonly method = "stopped";
  readonly #options: SavedInstantOptions;

  constructor(options: SavedInstantOptions) {
    this.#options = options;
  }

  async pause(): Promise<void> {
    const { standstill, saving, maxPause, clock } = this.#options;
    await standstill.stop();
    await saving.begin();
    while (isUnderWay(await saving.state())) {
      if (standstill.elapsed > maxPause) {
        await saving.cancel();
        throw tooLong(maxPause);
      }
      await clock.sleep(2);
    }
    await saving.ended();
  }

  /** Not earlier: a save ends by making all block nodes inactive, which those of the points don't allow. */
  async point(): Promise<void> {
    const { points, saving } = this.#options;
    await saving.reactivateDisks();
    await points.prepare();
    await points.set();
  }

  async resume(): Promise<Taken> {
    await this.giveUp();
    return this.#options.standstill.measured;
  }

  async giveUp(): Promise<void> {
    await this.#options.standstill.go();
  }
}

function tooLong(maxPause: number): Error {
  return failed(
    `Saving the guest's memory took longer than the longest pause of ${maxPause} ms`,
    "Give the source a longer `max_pause`, or QEMU what it needs to save memory while the guest runs (docs/vm.md).",
  );
}
