import { putSmallObject } from "../repository/points/small-objects.ts";
import type { Cli, DefineVerb } from "./cli.ts";
import { loadPoint, pointHelp } from "./find-points.ts";
import { printable } from "./format.ts";
import { addLocationOptions, type LocationFlags, openLocation } from "./open-location.ts";

interface Flags extends LocationFlags {
  readonly reason: string;
  readonly source?: string;
  readonly json?: boolean;
}

export const define: DefineVerb = (command, cli) => {
  addLocationOptions(command.argument("<id>", pointHelp))
    .option("--reason <text>", "why, for whoever wonders later", "")
    .option("--source <name>", "with `latest` or a time: of which source")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
A held point is deleted by no rule and no \`forget\` until it is released. A hold set at the primary reaches the
replicas with the next replication; one set at a replica is there alone, and stays.

Examples:
  stillpoint hold 3f5a91c2 --reason "audit of 2026"
  stillpoint hold 3f5a91c2 --location usb`,
    )
    .action(async (id: string, flags: Flags) => await hold(cli, id, flags));
};

async function hold(cli: Cli, id: string, flags: Flags): Promise<void> {
  const { repository } = await openLocation(cli, flags, { write: true });
  const point = await loadPoint(cli, repository, id, flags);
  const reason = point.hold?.reason ?? flags.reason;
  if (point.hold === undefined) {
    const time = new Date(cli.clock.now()).toISOString();
    await putSmallObject(repository, "holds", { version: 1, point: point.id, time, reason }, { signal: cli.signal });
  }
  if (flags.json === true) return cli.output.json({ id: point.id, held: true, reason });
  const because = reason === "" ? "" : `: ${printable(reason)}`;
  cli.output.print(`${point.id} is held${point.hold === undefined ? "" : " already"}${because}`);
}
