/** What freezes a guest on QEMU before 10: a save of its memory whose reader goes away. */
import { setTimeout } from "node:timers/promises";
import { Qmp } from "../../../src/qemu/qmp.ts";
import { waitFor } from "./qemu.ts";

export interface Frozen {
  /** The count at which it stands still. */
  readonly count: number;
}

/** Begins a save whose reader takes a little and ends, and waits until the guest doesn't count any more. */
export async function freeze(guest: { readonly qmp: string; count(): number }): Promise<Frozen> {
  const qmp = await Qmp.connect(guest.qmp);
  const capabilities = [{ capability: "background-snapshot", state: true }];
  await qmp.execute("migrate-set-capabilities", { capabilities });
  // Its answer may never come, nor any other: the connection is closed without a word.
  qmp.execute("migrate", { uri: "exec:head -c 300000 >/dev/null" }).catch(() => undefined);
  await setTimeout(1000);
  await waitFor("the guest's standing still", async () => {
    const count = guest.count();
    await setTimeout(1500);
    return guest.count() === count;
  });
  await qmp.close();
  return { count: guest.count() };
}
