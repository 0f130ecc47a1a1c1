/** The source kind `vm`: a running virtual machine of QEMU, all of it of one instant. */
import type { CaptureContext, Captured } from "../capture.ts";
import { prepareVm } from "./prepare-vm.ts";
import { withMended, withProblems } from "./trouble.ts";
import type { VmSource } from "./vm-source.ts";

/**
 * Captures the guest: its disks as parts `disk/…`, its memory and devices as `memory/…` and `state/…`, the files QEMU was
 * started with as `file/…`. It stands still for milliseconds; everything is read while it runs on.
 *
 * Throws `vm_unreachable`, `vm_refused`, `vm_failed`, `stream_invalid`, `cancelled`, or a storage error; the guest goes on.
 */
export async function captureVm(context: CaptureContext, source: VmSource): Promise<Captured> {
  // They take as long to start as the watchdog does.
  context.session.executor.start();
  const prepared = await prepareVm(context, source);
  try {
    await prepared.takeInstant();
    const captured = await prepared.collect(context);
    return { ...captured, settle: async (committed) => await prepared.close(committed) };
  } catch (error) {
    throw withMended(withProblems(error, await prepared.close(false)), prepared.mended);
  }
}
