/** When to stop a guest whose memory is saved while it runs (background-instant.ts). */
import type { StillpointError } from "../../errors.ts";
import type { Save } from "./attempt.ts";
import type { Guest } from "./guest.ts";
import type { Preparation } from "./preparation.ts";
import { queryMigration } from "./saving.ts";
import { withProblems } from "./trouble.ts";

/**
 * How long before the end of QEMU's look at all pages to stop the guest, attempt by attempt, as a part of the time that the last
 * look took. The next look may well be faster: to be too late spoils a save, to be too early makes the pause longer.
 */
export const margins = [0.15, 0.3, 0.5] as const;
/** In ms, as which a faster look counts: in the first margin of it the guest is stopped, and the points of its disks are set. */
const shortestLook = 200;
/** Bytes of RAM from which on the first look, which may have to make all pages first, is taken while the guest runs. */
const rehearsedSize = 512 * 1024 * 1024;

/** What of a preparation matters here. */
interface Prepared extends Pick<Preparation, "fitness" | "previous"> {
  readonly guest: Pick<Guest, "qmp">;
}

export class LateStop {
  readonly #preparation: Prepared;
  readonly #reserve: () => Promise<Save>;
  /** Whether QEMU's last save is one of this capture. */
  #saved = false;

  /** @param reserve takes the room for a save */
  constructor(preparation: Prepared, reserve: () => Promise<Save>) {
    this.#preparation = preparation;
    this.#reserve = reserve;
  }

  /** To be called after an attempt: QEMU's last save is of this capture then. */
  saved(): void {
    this.#saved = true;
  }

  /** How long after the beginning of a save to stop the guest, in ms; undefined to stop it first. */
  async lateness(margin: number | undefined): Promise<number | undefined> {
    const setup = await this.#knownSetup();
    if (margin === undefined || setup === undefined) return undefined;
    const late = setup - margin * Math.max(setup, shortestLook);
    return late > 0 ? late : undefined;
  }

  /**
   * A save of a large guest of which no save is known, to be thrown away: QEMU pauses the guest for it only as briefly as it must.
   * Returns what of QEMU's settings could not be put back. Throws as a save does.
   */
  async rehearse(): Promise<readonly StillpointError[]> {
    const { fitness } = this.#preparation;
    if (fitness.memory !== "background" || fitness.ram < rehearsedSize) return [];
    if ((await this.#knownSetup()) !== undefined) return [];
    const { spool, saving } = await this.#reserve();
    try {
      await saving.prepare(true);
      await saving.begin();
      await saving.ended();
      const problems = await saving.finish();
      // How long it took to make all pages says nothing of a look at huge ones, which is short.
      this.#saved = saving.joined < fitness.ram / 2;
      return problems;
    } catch (error) {
      throw withProblems(error, await saving.finish());
    } finally {
      await spool.release();
    }
  }

  /**
   * In ms. QEMU remembers its last save, of which only ours tell anything: an attempt of this capture that was missed, its
   * rehearsal, or the save of the newest point, whose manifest then says the same. Others save a guest that stands still.
   */
  async #knownSetup(): Promise<number | undefined> {
    const { guest, fitness, previous } = this.#preparation;
    if (fitness.memory !== "background") return undefined;
    const setup = (await queryMigration(guest))["setup-time"];
    return this.#saved || setup === previous?.manifest.machine?.setup ? setup : undefined;
  }
}
