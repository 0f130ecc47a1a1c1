import type { CatalogPoint } from "../repository/points/catalog.ts";
import type { Part } from "../repository/points/manifest.ts";
import type { Cli, DefineVerb } from "./cli.ts";
import { describeMachine, machineFacts } from "./describe-machine.ts";
import { describePoint } from "./describe-point.ts";
import { loadPoint, pointHelp } from "./find-points.ts";
import { count, formatAge, formatBytes, formatTime, printable } from "./format.ts";
import { addLocationOptions, type LocationFlags, openLocation } from "./open-location.ts";

interface Flags extends LocationFlags {
  readonly source?: string;
  readonly json?: boolean;
}

export const define: DefineVerb = (command, cli) => {
  addLocationOptions(command.argument("<id>", pointHelp))
    .option("--source <name>", "with `latest` or a time: of which source")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Examples:
  stillpoint show 3f5a91c2
  stillpoint show latest --source etc --location usb`,
    )
    .action(async (id: string, flags: Flags) => {
      const { name, repository } = await openLocation(cli, flags, { write: false });
      const point = await loadPoint(cli, repository, id, flags);
      if (flags.json === true) cli.output.json(describeFully(point, name));
      else printPoint(cli, point, name);
    });
};

function describeFully(point: CatalogPoint, location: string): object {
  const { manifest, digest, hold, proof } = point;
  return {
    ...describePoint(point, location),
    digest,
    previous: manifest.previous,
    started: manifest.started,
    finished: manifest.finished,
    received: new Date(point.received).toISOString(),
    hold: hold === undefined ? null : { reason: hold.reason, time: hold.time },
    proof:
      proof === undefined
        ? null
        : { time: proof.time, method: proof.method, result: proof.result, detail: proof.detail },
    parts: manifest.parts.map((part) => ({ name: part.name, kind: part.kind, size: sizeOf(part) })),
    left_out_paths: manifest.left_out,
    ...(manifest.machine && { machine: machineFacts(manifest.machine) }),
    ...(manifest.group && { group: manifest.group }),
    software: manifest.software,
  };
}

/** In bytes; null for a directory, whose size is that of its files. */
function sizeOf(part: Part): number | null {
  return part.kind === "directory" ? null : part.size;
}

function printPoint(cli: Cli, point: CatalogPoint, location: string): void {
  const { manifest, tags, hold, proof } = point;
  const { statistics, software } = manifest;
  const took = Date.parse(manifest.finished) - Date.parse(manifest.started);
  const lines: [string, string][] = [
    ["id", point.id],
    ["source", `${manifest.source} (${manifest.kind}, of the policy ${manifest.policy}, on ${manifest.host})`],
    ["instant", `${formatTime(point.time)} UTC, ${formatAge(cli.clock.now() - point.time)} ago`],
    ["consistency", manifest.consistency],
    ["location", `${location}, since ${formatTime(point.received)} UTC by its own clock`],
    ["captured in", formatAge(took)],
    ["protects", formatBytes(statistics.size)],
    ["read", formatBytes(statistics.read)],
    ["new", `${formatBytes(statistics.new)}, ${formatBytes(statistics.stored)} stored`],
    ...(manifest.group === undefined ? [] : together(manifest.group.sources)),
    ...(manifest.machine === undefined ? [] : describeMachine(manifest.machine)),
    ...manifest.parts.map((part): [string, string] => ["part", describePart(part)]),
    ["tags", tags.length === 0 ? "none" : tags.join(", ")],
    ["held", hold === undefined ? "no" : `since ${formatTime(Date.parse(hold.time))} UTC: ${hold.reason}`],
    ["verified", describeProof(proof)],
    ["left out", describeLeftOut(point)],
    ["made by", `Stillpoint ${software.stillpoint}, Node ${software.node}, Linux ${software.kernel}`],
  ];
  for (const [name, text] of lines) cli.output.print(`${cli.output.style("dim", name.padEnd(12))} ${printable(text)}`);
  for (const { path, path64, reason } of manifest.left_out) {
    const name = path ?? Buffer.from(path64 ?? "", "base64").toString();
    cli.output.print(`${"".padEnd(12)} ${printable(name)}: ${printable(reason)}`);
  }
}

function together(sources: readonly string[]): [string, string][] {
  return [["one instant", `with ${sources.join(", ")}`]];
}

function describePart(part: Part): string {
  if (part.kind === "directory") return `directory ${part.path}`;
  return `${part.kind} ${part.name}, ${formatBytes(part.size)}`;
}

function describeProof(proof: CatalogPoint["proof"]): string {
  if (proof === undefined) return "not yet";
  const when = `${formatTime(Date.parse(proof.time))} UTC`;
  const restored = proof.method === "restore";
  if (proof.result === "passed") return `${when}, ${restored ? "by a restore" : "by reading all of it"}`;
  return `NO: it failed at ${when}${restored ? ", by a restore" : ""}${proof.detail === "" ? "" : `: ${proof.detail}`}`;
}

function describeLeftOut({ manifest }: CatalogPoint): string {
  const { left_out_count: total, left_out: named } = manifest;
  if (total === 0) return "nothing";
  return `${count(total, "file")} that could not be read${total > named.length ? `; the first ${named.length}` : ""}:`;
}
