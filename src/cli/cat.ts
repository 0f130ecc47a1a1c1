import { openFile } from "../restore/browse.ts";
import type { Cli, DefineVerb } from "./cli.ts";
import { loadPoint } from "./find-points.ts";
import { loadStore } from "./load-store.ts";
import { addLocationOptions, type LocationFlags, openLocation } from "./open-location.ts";

interface Flags extends LocationFlags {
  readonly source?: string;
}

export const define: DefineVerb = (command, cli) => {
  addLocationOptions(
    command
      .argument("<id>", "the point's id or its beginning, or `latest`")
      .argument(
        "[path]",
        "the file, relative to the source's folder; not needed for an image or a command's output",
        "",
      ),
  )
    .option("--source <name>", "with `latest`: of which source")
    .addHelpText(
      "after",
      `
Writes the content to standard output, byte by byte as it was captured. Everything is verified before it is written.

Examples:
  stillpoint cat 3f5a91c2 ssh/sshd_config
  stillpoint cat latest --source billing | psql`,
    )
    .action(async (id: string, path: string, flags: Flags) => await cat(cli, id, path, flags));
};

async function cat(cli: Cli, id: string, path: string, flags: Flags): Promise<void> {
  const { repository } = await openLocation(cli, flags, { write: false });
  const point = await loadPoint(cli, repository, id, flags);
  const { reader } = await loadStore(cli, repository);
  for await (const piece of openFile(reader, point, path, { signal: cli.signal })) await cli.output.write(piece);
}
