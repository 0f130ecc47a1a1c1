/** Makes the disks of a running machine whole: what is only in the recovery point is copied into its own files. */
import { StillpointError } from "../../errors.ts";
import { throwIfCancelled } from "../../host/cancel.ts";
import { systemClock } from "../../host/clock.ts";
import { run } from "../../host/process.ts";
import { activateDisks } from "../../qemu/activate-disks.ts";
import type { Qmp } from "../../qemu/qmp.ts";

interface Node {
  readonly "node-name": string;
  readonly drv: string;
  readonly file: string;
  readonly image: { readonly "backing-image"?: object };
}

interface Job {
  readonly device: string;
}

const jobPrefix = "stillpoint-settle-";

/** In ms, between looks whether it is done. */
const pollTime = 200;

/**
 * Copies until none of the files needs another one below it; what is there already isn't copied again. Throws `boot_failed` when it
 * stops before that, such as for lack of space; a QmpError; `vm_unreachable`; `cancelled`.
 *
 * @param files qcow2 images that the machine uses
 */
export async function settleDisks(qmp: Qmp, files: readonly string[], signal?: AbortSignal): Promise<void> {
  // What an earlier attempt has begun ends first.
  await jobsEnded(qmp, signal);
  await activateDisks(qmp, signal);
  for (const [number, node] of (await dependent(qmp, files)).entries())
    await qmp.execute("block-stream", { device: node["node-name"], "job-id": `${jobPrefix}${number}` }, { signal });
  await jobsEnded(qmp, signal);
  const left = await dependent(qmp, files);
  if (left.length === 0) return;
  throw new StillpointError("boot_failed", {
    what: `QEMU couldn't copy all of the disks to ${left.map(({ file }) => file).join(", ")}`,
    safe: "The machine runs on, with the repository serving its disks.",
    next: "See that there is room for them.",
  });
}

/** In ms: long enough for any disk. */
const copyTime = 7 * 24 * 3_600_000;

/** The same for a machine that has ended, while its disks are served still. */
export async function completeDisks(files: readonly string[], signal?: AbortSignal): Promise<void> {
  for (const file of files)
    await run(["qemu-img", "rebase", "-f", "qcow2", "-b", "", file], { timeout: copyTime, signal });
}

async function jobsEnded(qmp: Qmp, signal: AbortSignal | undefined): Promise<void> {
  for (;;) {
    throwIfCancelled(signal);
    const jobs = await qmp.execute<readonly Job[]>("query-block-jobs", undefined, { signal });
    if (!jobs.some(({ device }) => device.startsWith(jobPrefix))) return;
    await systemClock.sleep(pollTime, signal);
  }
}

async function dependent(qmp: Qmp, files: readonly string[]): Promise<readonly Node[]> {
  const nodes = await qmp.execute<readonly Node[]>("query-named-block-nodes");
  return nodes.filter(
    ({ drv, file, image }) => drv === "qcow2" && files.includes(file) && image["backing-image"] !== undefined,
  );
}
