import { type Difference, diffPoints } from "../restore/diff.ts";
import { loadCatalog } from "../repository/points/catalog.ts";
import type { Cli, DefineVerb } from "./cli.ts";
import { choosePoint } from "./find-points.ts";
import { formatBytes, printable } from "./format.ts";
import { loadStore } from "./load-store.ts";
import { addLocationOptions, type LocationFlags, openLocation } from "./open-location.ts";

interface Flags extends LocationFlags {
  readonly source?: string;
  readonly json?: boolean;
}

export const define: DefineVerb = (command, cli) => {
  addLocationOptions(
    command
      .argument("<before>", "a point's id or its beginning, or `latest`")
      .argument("<after>", "the one to compare it with"),
  )
    .option("--source <name>", "with `latest`: of which source")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Prints what is different in the second: \`+\` was added, \`-\` was removed, \`M\` was changed, with what about it.
A folder that was added or removed stands for all that is in it. Differences don't change the exit status.

Examples:
  stillpoint diff 3f5a91c2 77d0b4e1
  stillpoint diff 3f5a91c2 latest --source etc`,
    )
    .action(async (before: string, after: string, flags: Flags) => await diff(cli, before, after, flags));
};

async function diff(cli: Cli, before: string, after: string, flags: Flags): Promise<void> {
  const { signal } = cli;
  const { repository } = await openLocation(cli, flags, { write: false });
  const { points } = await loadCatalog(repository, { signal });
  const [one, other] = [choosePoint(points, before, flags), choosePoint(points, after, flags)];
  const { reader } = await loadStore(cli, repository);
  const all: Difference[] = [];
  for await (const difference of diffPoints(reader, one, other, { signal })) {
    if (flags.json === true) all.push(difference);
    else cli.output.print(describe(difference));
  }
  if (flags.json === true) cli.output.json(all);
}

function describe(difference: Difference): string {
  switch (difference.kind) {
    case "added":
    case "removed": {
      const { kind, path, type } = difference;
      return `${kind === "added" ? "+" : "-"} ${printable(path)}${type === "directory" ? "/" : ""}`;
    }
    case "changed":
      return `M ${difference.path === "" ? "." : printable(difference.path)} (${difference.aspects.join(", ")})`;
    case "range":
      return `M ${printable(difference.part)}: ${formatBytes(difference.length)} from byte ${difference.offset} on`;
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
