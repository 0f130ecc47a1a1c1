/** At the start: virtual machines in which a capture left something when it was killed with all that watched over it. */
import type { Clock } from "../host/clock.ts";
import type { Logger } from "../host/log.ts";
import type { Config } from "../policy/config.ts";

/** Looks at one after the other. A machine that isn't running now is nothing to worry about: it holds nothing of ours. */
export async function lookAfterMachines(
  { policies }: Pick<Config, "policies">,
  clock: Clock,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  const machines = policies.flatMap(({ sources }) => sources.filter((source) => source.kind === "vm"));
  if (machines.length === 0) return;
  // Loaded only where it is needed: a daemon without machines stays as small as it is.
  const { describeReconciled, reconcile } = await import("../capture/vm/reconcile.ts");
  for (const machine of machines) {
    const about = log.child({ source: machine.name });
    try {
      const found = await reconcile(machine, { clock, signal });
      if (found.mended.length + found.problems.length > 0) about.warn(describeReconciled(found));
    } catch (error) {
      if (signal.aborted) return;
      about.info("the virtual machine can't be looked at now", { error });
    }
  }
}
