/** Bringing several guests to one instant. */
import { toError } from "../../errors.ts";
import { Missed } from "./instant.ts";
import type { PreparedVm } from "./prepared-vm.ts";
import { failed } from "./trouble.ts";

/** What of a prepared guest matters here. */
type Member = Pick<PreparedVm, "ready" | "pause" | "point" | "resume" | "abandon" | "taken">;

/**
 * All are paused, then all points are set, then all are resumed. At first each is stopped late, as one alone would be, with such
 * a start that all are stopped at the same moment. When one was missed, the next attempt knows better how long it takes; in the
 * last one all are stopped first of all.
 *
 * Throws `vm_failed`; the caller closes all.
 */
export async function inOneInstant(guests: readonly Member[]): Promise<void> {
  for (const late of [true, true, false]) {
    try {
      await attempt(guests, late);
      return;
    } catch (error) {
      if (!(error instanceof Missed)) throw error;
      if (!late) throw failed(`The guests could not be brought to one instant: ${error.message}`);
    }
    // What was begun of their saves runs to its end.
    await Promise.all(guests.map(async (guest) => await guest.abandon()));
  }
}

/** That all stood still at the same time is checked afterwards with QEMU's own times, which are of one host's clock. */
async function attempt(guests: readonly Member[], late: boolean): Promise<void> {
  const leads: number[] = [];
  for (const guest of guests) leads.push(await guest.ready(late));
  const longest = Math.max(...leads);
  await each(guests, async (guest, number) => await guest.pause(longest - (leads[number] ?? 0)));
  await each(guests, async (guest) => await guest.point());
  await each(guests, async (guest) => await guest.resume());
  const taken = guests.map((guest) => guest.taken ?? { time: 0, pause: 0 });
  const lastStop = Math.max(...taken.map(({ time }) => time));
  const firstResume = Math.min(...taken.map(({ time, pause }) => time + pause));
  if (lastStop > firstResume) throw new Missed("they did not all stand still at the same time");
}

/** At the same time for all. Throws the first error when all have ended: one that is still being paused couldn't be let go. */
async function each(guests: readonly Member[], phase: (guest: Member, number: number) => Promise<void>): Promise<void> {
  const results = await Promise.allSettled(guests.map(phase));
  const reasons = results.flatMap((result): unknown[] => (result.status === "rejected" ? [result.reason] : []));
  // One that was missed can be tried again; anything else can't.
  const worst = reasons.find((reason) => !(reason instanceof Missed)) ?? reasons[0];
  if (worst !== undefined) throw toError(worst);
}
