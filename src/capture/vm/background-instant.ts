/**
 * The instant of a guest whose memory is saved while it runs on: QEMU write-protects it (userfaultfd(2)) while the guest stands
 * still, and saves each page before it is overwritten.
 *
 * Before that QEMU looks at every page of RAM, which takes long. So the guest is stopped *late* where we know about how long:
 * the save is begun while it runs, and it is stopped, and the points of its disks are set, shortly before QEMU would stop
 * it by itself. The instant is one only if the guest has not run between the points and the save of its devices' state, that is,
 * if no RESUME came before the points were set. If one did, the save is thrown away; it must never be cancelled.
 */
import { type Instant, Missed, type SavedInstantOptions, type Taken } from "./instant.ts";
import { hasInstant, isUnderWay } from "./saving.ts";

export interface BackgroundInstantOptions extends SavedInstantOptions {
  /** In ms, from the beginning of the save to the stop; undefined to stop first. */
  readonly late: number | undefined;
}

export class BackgroundInstant implements Instant {
  readonly method: "late-stop" | "background";
  readonly #options: BackgroundInstantOptions;

  constructor(options: BackgroundInstantOptions) {
    this.#options = options;
    this.method = options.late === undefined ? "background" : "late-stop";
  }

  async pause(): Promise<void> {
    const { late, saving, standstill, clock } = this.#options;
    await standstill.guard(late);
    if (late !== undefined) {
      const begun = clock.monotonic();
      await saving.begin();
      await clock.sleep(late - (clock.monotonic() - begun));
    }
    await standstill.stop();
    this.#requireStill();
  }

  async point(): Promise<void> {
    await this.#options.points.set();
    this.#requireStill();
  }

  async resume(): Promise<Taken> {
    const { late, saving, standstill, clock, maxPause } = this.#options;
    if (late === undefined) await saving.begin();
    for (;;) {
      const info = await saving.state();
      if (standstill.stops > 1) throw new Missed("the guest ran before its memory was saved");
      if (hasInstant(info)) break;
      if (!isUnderWay(info)) await saving.ended();
      if (standstill.resumes === 0 && standstill.elapsed > maxPause) {
        throw new Missed(`the guest stood still for longer than ${maxPause} ms`);
      }
      await clock.sleep(1);
    }
    // QEMU 7.2 has let it run by itself, later versions wait to be told.
    await this.giveUp();
    while (standstill.resumes === 0) await clock.sleep(1);
    return standstill.measured;
  }

  async giveUp(): Promise<void> {
    await this.#options.standstill.go();
  }

  #requireStill(): void {
    const { stops, resumes } = this.#options.standstill;
    if (stops === 0) throw new Missed("somebody else has paused the guest");
    if (resumes > 0) throw new Missed("the guest ran before the points were set");
  }
}
