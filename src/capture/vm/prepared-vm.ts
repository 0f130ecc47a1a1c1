/**
 * A guest made ready for its instant, which `pause`, `point` and `resume` then make in milliseconds. Nothing of the guest but
 * helpers that have no effect yet has changed until then.
 */
import { rm } from "node:fs/promises";
import type { StillpointError } from "../../errors.ts";
import type { CaptureContext, Captured } from "../capture.ts";
import { Attempt, reserveSave } from "./attempt.ts";
import { bitmapOf, removeBitmaps } from "./bitmaps.ts";
import { collect } from "./collect.ts";
import { isDisk, listDrives } from "./disks.ts";
import { type Instant, Missed, type Taken } from "./instant.ts";
import { LateStop, margins } from "./late-stop.ts";
import type { Preparation } from "./preparation.ts";
import type { Reconciled } from "./reconcile.ts";
import { asProblem, failed } from "./trouble.ts";

export class PreparedVm {
  readonly #preparation: Preparation;
  readonly #lateStop: LateStop;
  #attempt: Attempt | undefined;
  #taken: (Taken & { readonly instant: Instant["method"] }) | undefined;
  /** What an earlier capture had left in the guest and was made good, in words. */
  readonly mended: readonly string[];
  readonly #problems: StillpointError[];

  constructor(preparation: Preparation, { mended, problems }: Reconciled) {
    this.#preparation = preparation;
    this.#lateStop = new LateStop(preparation, async () => await reserveSave(preparation));
    this.mended = mended;
    this.#problems = [...problems];
  }

  /** Makes the instant of this guest alone. */
  async takeInstant(): Promise<void> {
    await this.#rehearse();
    for (let attempt = 0; ; attempt++) {
      const late = await this.#lateStop.lateness(margins[attempt]);
      try {
        await this.#begin(late);
        await this.pause();
        await this.point();
        await this.resume();
        return;
      } catch (error) {
        await this.abandon();
        if (!(error instanceof Missed)) throw error;
        if (attempt >= margins.length) throw failed(`The guest could not be brought to one instant: ${error.message}`);
      }
    }
  }

  /** For a group: everything up to `pause`. Returns how long after the begin of `pause` the guest will be stopped, in ms. */
  async ready(late: boolean): Promise<number> {
    if (late) await this.#rehearse();
    const lead = late ? await this.#lateStop.lateness(margins[1]) : undefined;
    await this.#begin(lead);
    return lead ?? 0;
  }

  /** @param wait in ms, before it is begun */
  async pause(wait = 0): Promise<void> {
    if (wait > 0) await this.#preparation.clock.sleep(wait);
    await this.#current.instant.pause();
  }

  async point(): Promise<void> {
    await this.#current.instant.point();
  }

  async resume(): Promise<void> {
    const { instant } = this.#current;
    this.#taken = { ...(await instant.resume()), instant: instant.method };
  }

  /** When the guest stood still: from when, in ms since the epoch, and for how long. */
  get taken(): Taken | undefined {
    return this.#taken;
  }

  /** Stores what the instant has. */
  async collect(context: CaptureContext): Promise<Captured> {
    const { points, save } = this.#current;
    if (this.#taken === undefined) throw new Error("a guest was to be collected before its instant");
    const { time, pause, instant: method } = this.#taken;
    const collected = await collect(context, { ...this.#preparation, points, save, time, pause, method });
    return { ...collected, mended: this.mended };
  }

  /** Ends the attempt, whatever it has come to, so that there can be another. */
  async abandon(): Promise<void> {
    const attempt = this.#attempt;
    this.#attempt = undefined;
    if (attempt === undefined) return;
    this.#problems.push(...(await attempt.end()));
    this.#lateStop.saved();
  }

  /**
   * Takes away what the capture has put into the guest, and waits for a save that must not be cancelled. `committed` says
   * whether a recovery point names the bitmaps that began at the instant. Returns what failed.
   */
  async close(committed: boolean): Promise<StillpointError[]> {
    const { guest, folder, watchdog } = this.#preparation;
    const bitmaps = this.#attempt?.points.bitmaps ?? new Map<string, string>();
    try {
      await this.abandon();
      await this.#keepBitmaps(committed ? bitmaps : undefined).catch((error: unknown) =>
        this.#problems.push(asProblem("remove old bitmaps", error)),
      );
    } finally {
      // In this order: it shares the connection, and forgets what the guest is owed.
      await watchdog.close();
      await guest.qmp.close();
      await rm(folder, { recursive: true, force: true });
    }
    return this.#problems;
  }

  get #current(): Attempt {
    if (this.#attempt === undefined) throw new Error("a guest wasn't made ready for its instant");
    return this.#attempt;
  }

  async #rehearse(): Promise<void> {
    this.#problems.push(...(await this.#lateStop.rehearse()));
  }

  async #begin(late: number | undefined): Promise<void> {
    // Kept before it is prepared, so that what was prepared of it is undone when the rest fails.
    this.#attempt = await Attempt.begin(this.#preparation, late);
    await this.#attempt.prepare();
  }

  /** Removes our bitmaps but those to keep, by disk; by default those on which this capture could rely. */
  async #keepBitmaps(keep: ReadonlyMap<string, string> | undefined): Promise<void> {
    const { guest, bases } = this.#preparation;
    for (const drive of await listDrives(guest.qmp)) {
      if (!isDisk(drive)) continue;
      const kept = keep === undefined ? bitmapOf(bases.get(drive.name)) : keep.get(drive.name);
      await removeBitmaps(guest.qmp, drive, kept);
    }
  }
}
