import { StillpointError } from "../../errors.ts";

/** @param why such as "it uses a device of its host" */
export function cannotLaunch(why: string): StillpointError {
  return new StillpointError("vm_refused", {
    what: `Cannot start the machine again as it was: ${why}`,
    safe: "The recovery point is good, and everything in it can be restored.",
    next: "Start QEMU by hand with the restored disks; the command line that it ran with is in the manifest.",
  });
}
