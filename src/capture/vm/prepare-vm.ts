/**
 * A guest made ready for its instant, which `pause`, `point` and `resume` then make in milliseconds. Nothing of the guest but
 * helpers that have no effect yet has changed until then.
 */
import { rm } from "node:fs/promises";
import type { StillpointError } from "../../errors.ts";
import type { Clock } from "../../host/clock.ts";
import type { RecoveryPoint } from "../../repository/points/manifest.ts";
import type { CaptureContext, Captured } from "../capture.ts";
import { BackgroundInstant } from "./background-instant.ts";
import { type Base, findBase, removeBitmaps } from "./bitmaps.ts";
import { makeCaptureFolder } from "./capture-folder.ts";
import { collect } from "./collect.ts";
import { DisksInstant } from "./disks-instant.ts";
import { chooseDisks, type Disk, type Drive, isDisk, listDrives } from "./disks.ts";
import { findFlash, type Flash } from "./flash.ts";
import { type Guest, openGuest } from "./guest.ts";
import { type Instant, Missed, type Taken } from "./instant.ts";
import { describeMachine, type MachineDescription } from "./machine.ts";
import { Spool, spoolSize } from "./memory/spool.ts";
import { Points } from "./points.ts";
import { examine, type Fitness } from "./preflight.ts";
import { queryMigration, Saving } from "./saving.ts";
import { reconcile, type Reconciled } from "./reconcile.ts";
import { Standstill } from "./standstill.ts";
import { StoppedInstant } from "./stopped-instant.ts";
import { asProblem, failed } from "./trouble.ts";
import type { VmSource } from "./vm-source.ts";
import { Watchdog } from "./watchdog.ts";

export interface PrepareOptions {
  readonly clock: Clock;
  /** The source's newest recovery point, when it can be relied on. */
  readonly previous: RecoveryPoint | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Everything of one attempt at an instant. */
interface Attempt {
  readonly points: Points;
  readonly saving: Saving | undefined;
  readonly spool: Spool | undefined;
  readonly standstill: Standstill;
  readonly instant: Instant;
}

/** Throws `vm_unreachable`, `vm_refused`, `vm_failed` or `cancelled`; the guest is as it was then. */
export async function prepareVm(options: PrepareOptions, source: VmSource): Promise<PreparedVm> {
  // What a capture that was killed has left would be in the way.
  const reconciled = await reconcile(source, options);
  const guest = await openGuest(source.qmp, options.signal);
  try {
    const drives = await listDrives(guest.qmp);
    const disks = chooseDisks(drives, source.disks);
    const fitness = await examine(guest, source, disks);
    const machine = await describeMachine(guest);
    const flash = await findFlash(guest.qmp, disks);
    const bases = new Map(disks.map((disk) => [disk.name, findBase(disk, options.previous)]));
    for (const disk of disks) await removeBitmaps(guest.qmp, disk, bitmapOf(bases.get(disk.name)));
    const folder = await makeCaptureFolder(source.spool, guest.process);
    const watchdog = await Watchdog.start(guest, source, options).catch(async (error: unknown) => {
      await rm(folder, { recursive: true, force: true });
      throw error;
    });
    const parts = { drives, disks, flash, fitness, machine, bases, folder };
    return new PreparedVm({ ...options, source, guest, watchdog, ...parts }, reconciled);
  } catch (error) {
    await guest.qmp.close();
    throw error;
  }
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

/**
 * When to stop the guest late, as a part of the time that QEMU's last look at all pages took, attempt by attempt. The next look
 * may well be faster: to be too late spoils a save, to be too early makes the pause longer.
 */
const margins = [0.85, 0.7, 0.5];
/** In ms: a look at all pages that takes no longer isn't worth an attempt that may be missed. */
const shortSetup = 20;
/** Bytes of RAM from which on the first look, which may have to make all pages first, is taken while the guest runs. */
const rehearsedSize = 512 * 1024 * 1024;

export class PreparedVm {
  readonly #preparation: Preparation;
  #attempt: Attempt | undefined;
  #taken: (Taken & { readonly instant: Instant["method"] }) | undefined;
  readonly #mended: readonly string[];
  readonly #problems: StillpointError[];

  constructor(preparation: Preparation, { mended, problems }: Reconciled) {
    this.#preparation = preparation;
    this.#mended = mended;
    this.#problems = [...problems];
  }

  /** Makes the instant of this guest alone. */
  async takeInstant(): Promise<void> {
    await this.#rehearse();
    for (let attempt = 0; ; attempt++) {
      const late = await this.#lateness(margins[attempt]);
      try {
        await this.#try(late);
        await this.pause();
        await this.point();
        await this.resume();
        return;
      } catch (error) {
        await this.#giveUp();
        if (!(error instanceof Missed)) throw error;
        if (attempt >= margins.length) throw failed(`The guest could not be brought to one instant: ${error.message}`);
      }
    }
  }

  /** For a group: everything up to `pause`. Returns how long after the begin of `pause` the guest will be stopped, in ms. */
  async ready(late: boolean): Promise<number> {
    if (late) await this.#rehearse();
    const lateness = late ? await this.#lateness(margins[1]) : undefined;
    await this.#try(lateness);
    return lateness ?? 0;
  }

  /** @param wait in ms, before it is begun */
  async pause(wait = 0): Promise<void> {
    if (wait > 0) await this.#preparation.clock.sleep(wait);
    await this.#current.instant.pause();
  }

  /** For a group: after an attempt that came to nothing, so that there can be another. */
  async abandon(): Promise<void> {
    await this.#giveUp();
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
    const { points, saving, spool } = this.#current;
    if (this.#taken === undefined) throw new Error("a guest was to be collected before its instant");
    const { time, pause, instant: method } = this.#taken;
    const collected = await collect(context, { ...this.#preparation, points, saving, spool, time, pause, method });
    return { ...collected, mended: this.#mended };
  }

  /**
   * Takes away what the capture has put into the guest, and waits for a save that must not be cancelled. `committed` says
   * whether a recovery point names the bitmaps that began at the instant. Returns what failed.
   */
  async close(committed: boolean): Promise<StillpointError[]> {
    const { guest, folder, watchdog } = this.#preparation;
    const bitmaps = this.#attempt?.points.bitmaps ?? new Map<string, string>();
    try {
      await this.#note("let the guest go", this.#giveUp());
      await this.#note("remove old bitmaps", this.#keepBitmaps(committed ? bitmaps : undefined));
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

  /** How long after the beginning of a save to stop the guest, in ms; undefined to stop it first. */
  async #lateness(margin: number | undefined): Promise<number | undefined> {
    const setup = await this.#knownSetup();
    if (margin === undefined || setup === undefined || setup < shortSetup) return undefined;
    return setup * margin;
  }

  /** In ms. QEMU remembers its last save, the one of an earlier capture or of an attempt that was missed. */
  async #knownSetup(): Promise<number | undefined> {
    const { guest, fitness } = this.#preparation;
    return fitness.memory === "background" ? (await queryMigration(guest))["setup-time"] : undefined;
  }

  /** A save of a large guest that was never saved, to be thrown away: QEMU pauses the guest for it only as briefly as it must. */
  async #rehearse(): Promise<void> {
    const { fitness } = this.#preparation;
    if (fitness.memory !== "background" || fitness.ram < rehearsedSize) return;
    if ((await this.#knownSetup()) !== undefined) return;
    const { spool, saving } = await this.#reserve();
    try {
      await saving.prepare(true);
      await saving.begin();
      await saving.ended();
    } finally {
      this.#problems.push(...(await saving.finish()));
      await spool.release();
    }
  }

  async #try(late: number | undefined): Promise<void> {
    const { guest, source, disks, fitness, folder, clock, watchdog } = this.#preparation;
    const points = new Points({ guest, disks, folder, scratch: source.scratch, clock });
    const standstill = new Standstill(guest, clock, watchdog);
    const common = { guest, points, standstill, clock, maxPause: source.maxPause };
    if (fitness.memory === "none") {
      const instant = new DisksInstant({ ...common, agent: source.guestAgent, paused: fitness.paused });
      this.#attempt = { points, standstill, instant, saving: undefined, spool: undefined };
      await points.prepare();
      return;
    }
    const { spool, saving } = await this.#reserve();
    const background = fitness.memory === "background";
    const instant = background
      ? new BackgroundInstant({ ...common, saving, late })
      : new StoppedInstant({ ...common, saving });
    this.#attempt = { points, standstill, instant, saving, spool };
    await saving.prepare(background);
    if (background) await points.prepare();
  }

  async #reserve(): Promise<{ spool: Spool; saving: Saving }> {
    const { guest, source, fitness, clock, signal } = this.#preparation;
    const { process, qmp } = guest;
    const size = spoolSize(fitness.ram);
    const spool = await Spool.reserve({ folder: source.spool, size, process, version: qmp.version, signal });
    return { spool, saving: new Saving(guest, spool, clock) };
  }

  /** Ends the attempt, whatever it has come to. */
  async #giveUp(): Promise<void> {
    const attempt = this.#attempt;
    if (attempt === undefined) return;
    const { instant, points, saving, spool, standstill } = attempt;
    await this.#note("let the guest run on", instant.giveUp());
    this.#problems.push(...(await points.remove()));
    if (saving !== undefined) {
      // A save that failed was told of by whoever waited for it.
      await saving.ended().catch(() => undefined);
      this.#problems.push(...(await saving.finish()));
    }
    standstill.end();
    if (spool !== undefined) await this.#note("remove the spool", spool.release());
    this.#attempt = undefined;
  }

  /** Removes our bitmaps but those to keep, by disk; by default those on which this capture could rely. */
  async #keepBitmaps(keep: ReadonlyMap<string, string> | undefined): Promise<void> {
    const { guest, bases } = this.#preparation;
    for (const drive of await listDrives(guest.qmp)) {
      if (!isDisk(drive)) continue;
      await removeBitmaps(
        guest.qmp,
        drive,
        keep === undefined ? bitmapOf(bases.get(drive.name)) : keep.get(drive.name),
      );
    }
  }

  async #note(doing: string, work: Promise<void>): Promise<void> {
    await work.catch((error: unknown) => this.#problems.push(asProblem(doing, error)));
  }
}

function bitmapOf(base: Base | string | undefined): string | undefined {
  return typeof base === "object" ? base.bitmap : undefined;
}
