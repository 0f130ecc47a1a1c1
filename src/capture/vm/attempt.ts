/** One attempt at an instant, and what it needs. */
import type { StillpointError } from "../../errors.ts";
import { BackgroundInstant } from "./background-instant.ts";
import { DisksInstant } from "./disks-instant.ts";
import type { Instant } from "./instant.ts";
import { Spool, spoolSize } from "./memory/spool.ts";
import { Points } from "./points.ts";
import type { Preparation } from "./preparation.ts";
import { Saving } from "./saving.ts";
import { Standstill } from "./standstill.ts";
import { StoppedInstant } from "./stopped-instant.ts";
import { asProblem } from "./trouble.ts";

/** A save of the guest's memory, and the room for it. */
export interface Save {
  readonly saving: Saving;
  readonly spool: Spool;
}

/** Takes the room. Throws `vm_refused`, `vm_failed`, `cancelled`. */
export async function reserveSave({ guest, source, fitness, clock, signal }: Preparation): Promise<Save> {
  const { process, qmp } = guest;
  const size = spoolSize(fitness.ram);
  const spool = await Spool.reserve({ folder: source.spool, size, process, version: qmp.version, signal });
  return { spool, saving: new Saving(guest, spool, { clock, signal }) };
}

export class Attempt {
  readonly points: Points;
  readonly instant: Instant;
  /** Undefined without memory. */
  readonly save: Save | undefined;
  readonly #background: boolean;
  readonly #standstill: Standstill;

  private constructor(preparation: Preparation, save: Save | undefined, late: number | undefined) {
    const { guest, source, disks, fitness, folder, clock, watchdog } = preparation;
    const points = new Points({ guest, disks, folder, scratch: source.scratch, clock });
    const standstill = new Standstill(guest, clock, watchdog);
    this.points = points;
    this.save = save;
    this.#background = fitness.memory === "background";
    this.#standstill = standstill;
    const common = { points, standstill, clock };
    if (save === undefined) {
      this.instant = new DisksInstant({ ...common, agent: source.guestAgent, paused: fitness.paused });
      return;
    }
    const saved = { ...common, saving: save.saving, maxPause: source.maxPause };
    this.instant = this.#background ? new BackgroundInstant({ ...saved, late }) : new StoppedInstant(saved);
  }

  /**
   * Takes the room for a save. Nothing else is changed before `prepare`.
   *
   * @param late how long after the beginning of a save to stop the guest, in ms; undefined to stop it first
   */
  static async begin(preparation: Preparation, late: number | undefined): Promise<Attempt> {
    const save = preparation.fitness.memory === "none" ? undefined : await reserveSave(preparation);
    return new Attempt(preparation, save, late);
  }

  /** Makes all that can be made before the guest is paused. */
  async prepare(): Promise<void> {
    await this.save?.saving.prepare(this.#background);
    if (this.save === undefined || this.#background) await this.points.prepare();
  }

  /** Ends it, whatever it has come to: the guest runs, a save is waited for, and all is taken away. Returns what failed. */
  async end(): Promise<StillpointError[]> {
    const problems: StillpointError[] = [];
    const note = (doing: string) => (error: unknown) => void problems.push(asProblem(doing, error));
    await this.instant.giveUp().catch(note("let the guest run on"));
    problems.push(...(await this.points.remove()));
    if (this.save !== undefined) {
      const { saving, spool } = this.save;
      // A save that failed was told of by whoever waited for it.
      await saving.ended().catch(() => undefined);
      problems.push(...(await saving.finish()));
      await spool.release().catch(note("remove the spool"));
    }
    this.#standstill.end();
    return problems;
  }
}
