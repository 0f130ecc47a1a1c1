import { listPath, type Listed } from "../restore/browse.ts";
import { parseDiskPath } from "../restore/disks/disk-path.ts";
import { listInside } from "../restore/disks/look-inside.ts";
import { PointImages } from "../restore/serve/point-images.ts";
import { encodeText, nameOf, targetOf } from "../repository/tree/directory-tree.ts";
import type { Cli, DefineVerb } from "./cli.ts";
import { loadPoint, pointHelp } from "./find-points.ts";
import { formatTime, printable } from "./format.ts";
import { loadStore } from "./load-store.ts";
import { noteTrouble } from "./note-trouble.ts";
import { addLocationOptions, type LocationFlags, openLocation } from "./open-location.ts";
import { formatTable } from "./table.ts";

interface Flags extends LocationFlags {
  readonly source?: string;
  readonly json?: boolean;
}

export const define: DefineVerb = (command, cli) => {
  addLocationOptions(
    command
      .argument("<id>", pointHelp)
      .argument(
        "[path]",
        "a folder or file: relative to the source's folder, or its path on the host; a disk, or a place in one",
        "",
      ),
  )
    .option("--source <name>", "with `latest` or a time: of which source")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Of a disk: disk/NAME is the image, disk/NAME: shows its partitions, disk/NAME:2/etc is a folder in the second, disk/NAME:/etc in the
only one. An image that was captured by itself is called image. ext2, ext3 and ext4 are read, by root; links aren't followed.

Examples:
  stillpoint ls 3f5a91c2
  stillpoint ls latest disk/root:1/etc --source web
  stillpoint ls latest ssh --source etc`,
    )
    .action(async (id: string, path: string, flags: Flags) => await ls(cli, id, path, flags));
};

async function ls(cli: Cli, id: string, path: string, flags: Flags): Promise<void> {
  const { repository } = await openLocation(cli, flags, { write: false });
  const point = await loadPoint(cli, repository, id, flags);
  const store = await loadStore(cli, repository);
  const { signal } = cli;
  const inside = parseDiskPath(point, path);
  const found =
    inside === undefined
      ? await listPath(store.reader, point, path, { signal })
      : await listInside(new PointImages({ repository, store, point }), inside, {
          signal,
          onTrouble: noteTrouble(cli),
        });
  if (flags.json === true) cli.output.json(found.map(describe));
  else print(cli, found);
}

/** As docs/operations.md says. */
function describe({ path, type, size, entry, content }: Listed): object {
  if (entry === undefined) return { path, type, size, ...(type === "partition" && { content: content ?? null }) };
  const { mode, uid, gid, mtime, device } = entry;
  const name = nameOf(entry);
  const folder = path.slice(0, path.length - name.toString().length);
  return {
    ...encodeText("path", Buffer.concat([Buffer.from(folder), name])),
    type,
    ...(size !== undefined && { size }),
    mode: mode.toString(8).padStart(4, "0"),
    uid,
    gid,
    mtime,
    ...(type === "symlink" && encodeText("target", targetOf(entry))),
    ...(device !== undefined && { device }),
    ...(entry.xattrs !== undefined && { xattrs: Object.keys(entry.xattrs) }),
  };
}

function print({ output }: Cli, found: readonly Listed[]): void {
  const rows = found.map(({ path, type, size, entry, content }) => [
    entry === undefined ? type : modeText(type, entry.mode),
    entry === undefined ? "" : `${entry.uid}:${entry.gid}`,
    entry?.device?.join(",") ?? (size === undefined ? "" : String(size)),
    entry === undefined ? "" : formatTime(Number(entry.mtime) * 1000),
    `${printable(path)}${type === "directory" ? "/" : ""}${content === undefined ? "" : ` (${content})`}${entry !== undefined && type === "symlink" ? ` -> ${printable(targetOf(entry).toString())}` : ""}`,
  ]);
  const columns = [
    { title: "MODE" },
    { title: "OWNER" },
    { title: "SIZE", align: "right" },
    { title: "MODIFIED (UTC)" },
    { title: "PATH" },
  ] as const;
  const [title = "", ...lines] = formatTable(columns, rows, output.width);
  output.print(output.style("bold", title));
  for (const line of lines) output.print(line);
}

const typeLetters: Readonly<Record<string, string>> = {
  directory: "d",
  symlink: "l",
  fifo: "p",
  socket: "s",
  chardev: "c",
  blockdev: "b",
};

/** `-rw-r--r--`, as ls(1) shows it. */
function modeText(type: string, mode: number): string {
  const letters = Array.from("rwxrwxrwx", (letter, index) => ((mode & (0o400 >> index)) === 0 ? "-" : letter));
  const special = (bit: number, at: number, letter: string): void => {
    if ((mode & bit) !== 0) letters[at] = letters[at] === "x" ? letter : letter.toUpperCase();
  };
  special(0o4000, 2, "s");
  special(0o2000, 5, "s");
  special(0o1000, 8, "t");
  return `${typeLetters[type] ?? "-"}${letters.join("")}`;
}
