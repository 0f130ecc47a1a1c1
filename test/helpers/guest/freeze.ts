/** What freezes a guest on QEMU before 10: a save of its memory whose reader goes away. */
import { FaultWatch } from "../../../src/qemu/fault-watch.ts";
import { findQemu } from "../../../src/qemu/qmp-peer.ts";
import { Qmp } from "../../../src/qemu/qmp.ts";
import { type Guest, waitFor } from "./qemu.ts";

export interface Frozen {
  /** The count at which it stands still. */
  readonly count: number;
}

/** In ms. */
const usualPatience = 120_000;

/** In ms: far longer than a guest waits for a page while it is saved. */
const longWait = 1500;

/** Begins a save whose reader takes a little and ends, and waits until the guest waits for a page, and doesn't count any more. */
export async function freeze(
  guest: { readonly qmp: string; count(): number },
  patience = usualPatience,
): Promise<Frozen> {
  const qmp = await Qmp.connect(guest.qmp);
  const capabilities = [{ capability: "background-snapshot", state: true }];
  await qmp.execute("migrate-set-capabilities", { capabilities });
  // Its answer may never come, nor any other: the connection is closed without a word.
  qmp.execute("migrate", { uri: "exec:head -c 300000 >/dev/null" }).catch(() => undefined);
  const watch = new FaultWatch((await findQemu(guest.qmp)).pid);
  let count = -1;
  const standsStill = async (): Promise<boolean> => {
    const before = count;
    count = guest.count();
    return (await watch.look(performance.now())) >= longWait && count === before;
  };
  await waitFor("the guest's standing still", standsStill, patience);
  await qmp.close();
  return { count };
}

/**
 * Starts guests until one stands still: a small one, of which every page that it needs was saved before the reader went away, as may
 * happen on a busy machine, counts on for ever.
 */
export async function startFrozen<G extends Guest & { count(): number }>(
  start: () => Promise<G>,
): Promise<Frozen & { readonly guest: G }> {
  for (let left = 5; ; left -= 1) {
    const guest = await start();
    try {
      return { guest, ...(await freeze(guest, left === 1 ? usualPatience : 10_000)) };
    } catch (error) {
      await guest.stop();
      if (left === 1) throw error;
    }
  }
}
