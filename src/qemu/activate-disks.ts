import { type Qmp, QmpError } from "./qmp.ts";

/**
 * Lets the block nodes of a machine be used that doesn't run. QEMU keeps them inactive after a save of a stopped machine, as if
 * another one used the disks from then on, and in one that was loaded and has not run yet. Before version 10 it has no command for
 * this, and lets inactive nodes be used all the same. Throws a QmpError, `vm_unreachable`, `cancelled`.
 */
export async function activateDisks(qmp: Qmp, signal?: AbortSignal): Promise<void> {
  try {
    await qmp.execute("blockdev-set-active", { active: true }, { signal });
  } catch (error) {
    if (!(error instanceof QmpError) || error.class !== "CommandNotFound") throw error;
  }
}
