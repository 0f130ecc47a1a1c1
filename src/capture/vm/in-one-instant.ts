/** Bringing several guests to one instant. */
import { Missed } from "./instant.ts";
import type { PreparedVm } from "./prepare-vm.ts";
import { failed } from "./trouble.ts";

/**
 * All are paused, then all points are set, then all are resumed. That they stood still at the same time is checked afterwards
 * with QEMU's own times, which are of one host's clock. Throws `vm_failed`; the caller closes all.
 */
export async function inOneInstant(guests: readonly PreparedVm[]): Promise<void> {
  for (const guest of guests) await guest.ready();
  await each(guests, async (guest) => await guest.pause());
  await each(guests, async (guest) => await guest.point());
  await each(guests, async (guest) => await guest.resume());
  const taken = guests.map((guest) => guest.taken ?? { time: 0, pause: 0 });
  const lastStop = Math.max(...taken.map(({ time }) => time));
  const firstResume = Math.min(...taken.map(({ time, pause }) => time + pause));
  if (lastStop <= firstResume) return;
  throw failed("The guests did not all stand still at the same time: one was let run by somebody else");
}

/** At the same time for all. Throws the first error when all have ended: one that is still being paused couldn't be let go. */
async function each(guests: readonly PreparedVm[], phase: (guest: PreparedVm) => Promise<void>): Promise<void> {
  const results = await Promise.allSettled(guests.map(phase));
  for (const result of results) {
    if (result.status === "fulfilled") continue;
    const reason: unknown = result.reason;
    throw reason instanceof Missed
      ? failed(`The guests could not be brought to one instant: ${reason.message}`)
      : reason;
  }
}
