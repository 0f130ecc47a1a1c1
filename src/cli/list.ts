import { type Catalog, type CatalogPoint, loadCatalog } from "../repository/points/catalog.ts";
import type { Cli, DefineVerb } from "./cli.ts";
import { describePoint } from "./describe-point.ts";
import { isBelievable, shortIds } from "./find-points.ts";
import { formatAge, formatBytes, formatTime, printable } from "./format.ts";
import { listFleet } from "./list-fleet.ts";
import { addLocationOptions, type LocationFlags, openLocation } from "./open-location.ts";
import { reportDamage } from "./report-damage.ts";
import { formatTable } from "./table.ts";

interface Flags extends LocationFlags {
  readonly source?: string;
  readonly policy?: string;
  readonly fleet?: string;
  readonly json?: boolean;
}

export const define: DefineVerb = (command, cli) => {
  addLocationOptions(command)
    .option("--source <name>", "only those of this source")
    .option("--policy <name>", "only those of this policy")
    .option(
      "--fleet <place>",
      "the newest points of all hosts that have a repository in this folder, or under this prefix; --key-file may be given several times",
    )
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Examples:
  stillpoint list --source etc
  stillpoint list --location usb
  stillpoint list --repository /mnt/usb/stillpoint --key-file repository.key
  stillpoint list --fleet 's3://recovery?endpoint=https://s3.example.net' --key-file web1.key --key-file db1.key`,
    )
    .action(async (flags: Flags) => await list(cli, flags));
};

async function list(cli: Cli, flags: Flags): Promise<void> {
  if (flags.fleet !== undefined) return await listFleet(cli, { ...flags, fleet: flags.fleet });
  const { name, repository } = await openLocation(cli, flags, { write: false });
  const catalog = await loadCatalog(repository, { signal: cli.signal });
  const points = catalog.points.filter(
    ({ manifest }) =>
      (flags.source ?? manifest.source) === manifest.source && (flags.policy ?? manifest.policy) === manifest.policy,
  );
  if (flags.json === true) cli.output.json(points.map((point) => describePoint(point, name)));
  else printPoints(cli, name, points, catalog);
  reportDamage(cli, catalog);
}

/** Whoever has mistyped a name sees those that there are. */
function noneMatches(all: Catalog["points"]): string {
  const join = (names: readonly string[]): string => [...new Set(names)].toSorted().map(printable).join(", ");
  const sources = join(all.map(({ manifest }) => manifest.source));
  const policies = join(all.map(({ manifest }) => manifest.policy));
  return `No recovery point matches. There are some of the sources ${sources}, by the policies ${policies}.`;
}

function printPoints(cli: Cli, location: string, points: readonly CatalogPoint[], { points: all }: Catalog): void {
  const { output, clock } = cli;
  if (points.length === 0) {
    output.print(all.length === 0 ? `There are no recovery points at ${location}.` : noneMatches(all));
    return;
  }
  const short = shortIds(all.map(({ id }) => id));
  const rows = points.map(({ id, time, received, manifest, tags, hold, proof }) => [
    short(id),
    printable(manifest.source),
    printable(manifest.policy),
    formatTime(time),
    formatAge(clock.now() - time),
    manifest.consistency,
    formatBytes(manifest.statistics.size),
    formatBytes(manifest.statistics.stored),
    [
      isBelievable({ time, received }, clock.now()) ? [] : ["FROM THE FUTURE"],
      hold === undefined ? [] : ["held"],
      proof === undefined ? [] : [proof.result === "passed" ? "verified" : "failed its last proof"],
      tags,
    ]
      .flat()
      .map(printable)
      .join(", "),
  ]);
  const lines = formatTable(
    [
      { title: "ID" },
      { title: "SOURCE", cut: true },
      { title: "POLICY", cut: true },
      { title: "TIME (UTC)" },
      { title: "AGE", align: "right" },
      { title: "CONSISTENCY" },
      { title: "SIZE", align: "right" },
      { title: "STORED", align: "right" },
      { title: "NOTES", cut: true },
    ],
    rows,
    output.width,
  );
  for (const [number, line] of lines.entries()) output.print(number === 0 ? output.style("bold", line) : line);
}
