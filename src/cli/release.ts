import { exists } from "../repository/repository.ts";
import type { Cli, DefineVerb } from "./cli.ts";
import { loadPoint } from "./find-points.ts";
import { addLocationOptions, type LocationFlags, openLocation } from "./open-location.ts";

interface Flags extends LocationFlags {
  readonly json?: boolean;
}

export const define: DefineVerb = (command, cli) => {
  addLocationOptions(command.argument("<id>", "the point's id or its beginning"))
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
The rules decide about the point again. At the replicas it is released with the next replication.

Example:
  stillpoint release 3f5a91c2`,
    )
    .action(async (id: string, flags: Flags) => await release(cli, id, flags));
};

async function release(cli: Cli, id: string, flags: Flags): Promise<void> {
  const { repository } = await openLocation(cli, flags, { write: true });
  const point = await loadPoint(cli, repository, id);
  const hold = `holds/${point.id}`;
  // Asked for by its name: the catalog lacks one that is damaged, and that one holds, too.
  const held = await exists(repository.storage, hold, { signal: cli.signal });
  if (held) await repository.storage.delete(hold, { signal: cli.signal });
  if (flags.json === true) return cli.output.json({ id: point.id, held: false });
  cli.output.print(held ? `${point.id} is released` : `${point.id} isn't held`);
}
