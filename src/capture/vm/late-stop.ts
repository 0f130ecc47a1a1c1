/** When to stop a guest whose memory is saved while it runs (background-instant.ts). */
import type { StillpointError } from "../../errors.ts";
import { reserveSave } from "./attempt.ts";
import type { Preparation } from "./preparation.ts";
import { queryMigration } from "./saving.ts";
import { withProblems } from "./trouble.ts";

/**
 * As a part of the time that QEMU's last look at all pages took, attempt by attempt. The next look may well be faster: to be too
 * late spoils a save, to be too early makes the pause longer.
 */
export const margins = [0.85, 0.7, 0.5] as const;
/** In ms: a look at all pages that takes no longer isn't worth an attempt that may be missed. */
const shortSetup = 20;
/** Bytes of RAM from which on the first look, which may have to make all pages first, is taken while the guest runs. */
const rehearsedSize = 512 * 1024 * 1024;

/** How long after the beginning of a save to stop the guest, in ms; undefined to stop it first. */
export async function lateness(preparation: Preparation, margin: number | undefined): Promise<number | undefined> {
  const setup = await knownSetup(preparation);
  if (margin === undefined || setup === undefined || setup < shortSetup) return undefined;
  return setup * margin;
}

/**
 * A save of a large guest that was never saved, to be thrown away: QEMU pauses the guest for it only as briefly as it must.
 * Returns what of QEMU's settings could not be put back. Throws as a save does.
 */
export async function rehearse(preparation: Preparation): Promise<readonly StillpointError[]> {
  const { fitness } = preparation;
  if (fitness.memory !== "background" || fitness.ram < rehearsedSize) return [];
  if ((await knownSetup(preparation)) !== undefined) return [];
  const { spool, saving } = await reserveSave(preparation);
  try {
    await saving.prepare(true);
    await saving.begin();
    await saving.ended();
    return await saving.finish();
  } catch (error) {
    throw withProblems(error, await saving.finish());
  } finally {
    await spool.release();
  }
}

/** In ms. QEMU remembers its last save, the one of an earlier capture or of an attempt that was missed. */
async function knownSetup({ guest, fitness }: Preparation): Promise<number | undefined> {
  return fitness.memory === "background" ? (await queryMigration(guest))["setup-time"] : undefined;
}
