import { type Reconciled, reconcile } from "../capture/vm/reconcile.ts";
import { exitStatus, isStillpointError } from "../errors.ts";
import type { Config, Source } from "../policy/config.ts";
import { findNamed } from "../policy/find-named.ts";
import { findQemu } from "../qemu/qmp-peer.ts";
import { rescueGuest } from "../qemu/userfaultfd.ts";
import type { Cli, DefineVerb } from "./cli.ts";
import { formatBytes } from "./format.ts";
import { addConfigOption } from "./open-location.ts";
import { type ConfigFlags, readConfig } from "./read-config.ts";

interface Flags extends ConfigFlags {
  readonly json?: boolean;
}

export const define: DefineVerb = (command, cli) => {
  addConfigOption(command.argument("<source>", "a source of the kind `vm`"))
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
For a virtual machine that has stopped dead after a capture was killed or failed. Takes the write protection off its
memory, which QEMU before version 10 leaves behind when a save fails; lets it run if Stillpoint has paused it; and
removes what a capture has left in it. The guest goes on where it was. A capture that is under way fails by this, so
it is only for a guest that doesn't go on by itself within seconds.

Run it as root. For a QEMU that isn't in the configuration there is tools/rescue-guest.

Example:
  stillpoint rescue database`,
    )
    .action(async (source: string, flags: Flags) => await rescue(cli, source, flags));
};

type VmSource = Extract<Source, { readonly kind: "vm" }>;

async function rescue(cli: Cli, name: string, flags: Flags): Promise<void> {
  const source = findMachine(await readConfig(flags, cli), name);
  const { pid } = await findQemu(source.qmp);
  const { bytes } = await rescueGuest(pid, { signal: cli.signal });
  const { mended, problems } = await tidy(cli, source);
  if (problems.length > 0) cli.exit = exitStatus.failed;
  if (flags.json === true) {
    cli.output.json({ source: name, pid, protected: bytes, mended, problems: problems.map(({ message }) => message) });
    return;
  }
  cli.output.print(
    bytes > 0
      ? `Took the write protection off ${formatBytes(bytes)} of the guest's memory.`
      : "No memory of the guest was write-protected.",
  );
  if (mended.length > 0) cli.output.print(`Left by a capture, and made good: ${mended.join(", ")}.`);
  for (const { message } of problems) cli.output.print(message);
}

/** Whoever has the QMP socket now looks after the guest as well: a capture, or its watchdog. */
async function tidy({ clock, signal }: Cli, source: VmSource): Promise<Reconciled> {
  try {
    return await reconcile(source, { clock, signal });
  } catch (error) {
    if (!isStillpointError(error, "vm_unreachable")) throw error;
    return { mended: [], problems: [error] };
  }
}

/** Throws `not_found`. */
function findMachine({ policies }: Config, name: string): VmSource {
  const sources = policies.flatMap((policy) => policy.sources);
  return findNamed(
    sources.filter((source) => source.kind === "vm"),
    name,
    "virtual machine",
  );
}
