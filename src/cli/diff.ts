import { StillpointError } from "../errors.ts";
import { type Difference, diffPoints } from "../restore/diff.ts";
import { type ChangedRange, diffDisks } from "../restore/disks/diff-disks.ts";
import { mayMount } from "../restore/mount/file-server.ts";
import { PointImages } from "../restore/serve/point-images.ts";
import type { BlobStore } from "../repository/blobs/blob-store.ts";
import { type CatalogPoint, loadCatalog } from "../repository/points/catalog.ts";
import type { Repository } from "../repository/repository.ts";
import type { Cli, DefineVerb } from "./cli.ts";
import { choosePoint, pointHelp } from "./find-points.ts";
import { count, formatBytes, printable } from "./format.ts";
import { loadStore } from "./load-store.ts";
import { noteTrouble } from "./note-trouble.ts";
import { addLocationOptions, type LocationFlags, openLocation } from "./open-location.ts";

interface Flags extends LocationFlags {
  readonly source?: string;
  readonly disk?: string;
  readonly json?: boolean;
}

export const define: DefineVerb = (command, cli) => {
  addLocationOptions(command.argument("<before>", pointHelp).argument("<after>", "the one to compare it with"))
    .option("--source <name>", "with `latest` or a time: of which source")
    .option("--disk <name>", "only this disk")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Prints what is different in the second: \`+\` was added, \`-\` was removed, \`M\` was changed, with what about it.
A folder that was added or removed stands for all that is in it. Differences don't change the exit status.

Of disks it prints how much is different (with --json, each range), and for root the files, in ext2, ext3 and ext4: the contents
of those whose size is equal are compared only where a time or the inode differs; extended attributes aren't.

Examples:
  stillpoint diff 3f5a91c2 77d0b4e1
  stillpoint diff 3f5a91c2 latest --source etc
  stillpoint diff 3f5a91c2 latest --source web --disk root`,
    )
    .action(async (before: string, after: string, flags: Flags) => await diff(cli, before, after, flags));
};

async function diff(cli: Cli, before: string, after: string, flags: Flags): Promise<void> {
  const { signal } = cli;
  const { repository } = await openLocation(cli, flags, { write: false });
  const { points } = await loadCatalog(repository, { signal });
  const [one, other] = [choosePoint(cli, points, before, flags), choosePoint(cli, points, after, flags)].map((point) =>
    flags.disk === undefined ? point : onlyDisk(point, flags.disk),
  ) as [CatalogPoint, CatalogPoint];
  const store = await loadStore(cli, repository);
  const printer = new Printer(cli, flags.json === true);
  for await (const difference of diffPoints(store.reader, one, other, { signal })) printer.add(difference);
  printer.endOfRanges();
  for await (const difference of filesOf(cli, { repository, store, one, other }, printer.ranges))
    printer.add(difference);
  printer.end();
}

interface Compared {
  readonly repository: Repository;
  readonly store: BlobStore;
  readonly one: CatalogPoint;
  readonly other: CatalogPoint;
}

/** Throws `not_found`. */
function onlyDisk(point: CatalogPoint, disk: string): CatalogPoint {
  const name = point.manifest.kind === "vm" ? `disk/${disk}` : disk;
  const parts = point.manifest.parts.filter((part) => part.kind === "image" && part.name === name);
  if (parts.length > 0) return { ...point, manifest: { ...point.manifest, parts } };
  throw new StillpointError("not_found", {
    what: `The recovery point ${point.id} has no disk ${JSON.stringify(disk)}`,
    next: `\`stillpoint ls ${point.id}\` shows what it holds.`,
  });
}

/** In bytes, of each point: what file systems have of tables and folders is read more than once. */
const cache = 64 * 1024 * 1024;

async function* filesOf(
  cli: Cli,
  { repository, store, one, other }: Compared,
  ranges: ReadonlyMap<string, readonly ChangedRange[]>,
): AsyncGenerator<Difference> {
  const disks = [...ranges].filter(([part]) => other.manifest.kind === "image" || part.startsWith("disk/"));
  if (disks.length === 0) return;
  if (!mayMount()) {
    cli.output.note("stillpoint: the files in the disks aren't compared: only root can look into them.");
    return;
  }
  const [before, after] = [one, other].map((point) => new PointImages({ repository, store, point, cache })) as [
    PointImages,
    PointImages,
  ];
  for (const [part, changed] of disks)
    yield* diffDisks(before, after, { part, ranges: changed, signal: cli.signal, onTrouble: noteTrouble(cli) });
}

/** Differences as they come: for people a line each, but one for all ranges of an image; for programs all of them at the end. */
class Printer {
  readonly ranges = new Map<string, ChangedRange[]>();
  readonly #cli: Cli;
  readonly #json: boolean;
  readonly #all: Difference[] = [];
  #part: string | undefined;

  constructor(cli: Cli, json: boolean) {
    this.#cli = cli;
    this.#json = json;
  }

  add(difference: Difference): void {
    if (this.#json) this.#all.push(difference);
    if (difference.kind === "range") {
      const { part } = difference;
      if (part !== this.#part) this.endOfRanges();
      this.#part = part;
      const ranges = this.ranges.get(part) ?? [];
      ranges.push(difference);
      this.ranges.set(part, ranges);
    } else {
      this.endOfRanges();
      if (!this.#json) this.#cli.output.print(describe(difference));
    }
  }

  endOfRanges(): void {
    const [part, ranges] = [this.#part, this.ranges.get(this.#part ?? "")];
    this.#part = undefined;
    if (part === undefined || ranges === undefined || this.#json) return;
    const bytes = ranges.reduce((sum, { length }) => sum + length, 0);
    this.#cli.output.print(`M ${printable(part)}: ${formatBytes(bytes)} in ${count(ranges.length, "range")}`);
  }

  end(): void {
    if (this.#json) this.#cli.output.json(this.#all);
  }
}

function describe(difference: Exclude<Difference, { kind: "range" }>): string {
  switch (difference.kind) {
    case "added":
    case "removed": {
      const { kind, path, type } = difference;
      return `${kind === "added" ? "+" : "-"} ${printable(path)}${type === "directory" ? "/" : ""}`;
    }
    case "changed":
      return `M ${difference.path === "" ? "." : printable(difference.path)} (${difference.aspects.join(", ")})`;
    case "part":
      return describePart(difference);
  }
}

function describePart({ part, before, after }: Extract<Difference, { kind: "part" }>): string {
  const name = printable(part);
  if (before === undefined) return `+ ${name}`;
  if (after === undefined) return `- ${name}`;
  if (before === after) return `M ${name} (content)`;
  return `M ${name} (size: ${before} bytes before, ${after} now)`;
}
