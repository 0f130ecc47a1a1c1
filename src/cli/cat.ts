import { openFile } from "../restore/browse.ts";
import { parseDiskPath } from "../restore/disks/disk-path.ts";
import { openInside } from "../restore/disks/look-inside.ts";
import { PointImages } from "../restore/serve/point-images.ts";
import type { Cli, DefineVerb } from "./cli.ts";
import { loadPoint, pointHelp } from "./find-points.ts";
import { loadStore } from "./load-store.ts";
import { noteTrouble } from "./note-trouble.ts";
import { addLocationOptions, type LocationFlags, openLocation } from "./open-location.ts";

interface Flags extends LocationFlags {
  readonly source?: string;
}

export const define: DefineVerb = (command, cli) => {
  addLocationOptions(
    command
      .argument("<id>", pointHelp)
      .argument(
        "[path]",
        "the file: relative to the source's folder, or its path on the host; not needed for an image or a command's output",
        "",
      ),
  )
    .option("--source <name>", "with `latest` or a time: of which source")
    .addHelpText(
      "after",
      `
Writes the content to standard output, byte by byte as it was captured. Everything is verified before it is written.

Examples:
  stillpoint cat 3f5a91c2 ssh/sshd_config
  stillpoint cat latest --source billing | psql
  stillpoint cat latest disk/root --source web > root.raw
  stillpoint cat latest disk/root:1/etc/passwd --source web        # ext2, ext3 and ext4; see \`stillpoint ls --help\``,
    )
    .action(async (id: string, path: string, flags: Flags) => await cat(cli, id, path, flags));
};

async function cat(cli: Cli, id: string, path: string, flags: Flags): Promise<void> {
  const { repository } = await openLocation(cli, flags, { write: false });
  const point = await loadPoint(cli, repository, id, flags);
  const store = await loadStore(cli, repository);
  const { signal } = cli;
  const inside = parseDiskPath(point, path);
  const content =
    inside === undefined
      ? openFile(store.reader, point, path, { signal })
      : openInside(new PointImages({ repository, store, point }), inside, { signal, onTrouble: noteTrouble(cli) });
  for await (const piece of content) await cli.output.write(piece);
}
