/** Getting a guest ready for its instant: all that takes time, and that the guest doesn't feel. */
import { rm } from "node:fs/promises";
import { bitmapOf, findBase, removeBitmaps } from "./bitmaps.ts";
import { makeCaptureFolder } from "./capture-folder.ts";
import { chooseDisks, listDrives } from "./disks.ts";
import { findFlash } from "./flash.ts";
import { openGuest } from "./guest.ts";
import { describeMachine } from "./machine.ts";
import { examine } from "./preflight.ts";
import type { PrepareOptions } from "./preparation.ts";
import { PreparedVm } from "./prepared-vm.ts";
import { reconcile, type Reconciled } from "./reconcile.ts";
import { withMended, withProblems } from "./trouble.ts";
import type { VmSource } from "./vm-source.ts";
import { Watchdog } from "./watchdog.ts";

/** Throws `vm_unreachable`, `vm_refused`, `vm_failed` or `cancelled`; the guest is as it was then. */
export async function prepareVm(options: PrepareOptions, source: VmSource): Promise<PreparedVm> {
  // What a capture that was killed has left would be in the way.
  const reconciled = await reconcile(source, options);
  try {
    return await prepareTidy(options, source, reconciled);
  } catch (error) {
    throw withMended(withProblems(error, reconciled.problems), reconciled.mended);
  }
}

async function prepareTidy(options: PrepareOptions, source: VmSource, reconciled: Reconciled): Promise<PreparedVm> {
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
