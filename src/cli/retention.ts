import { StillpointError } from "../errors.ts";
import { applyRules, type Decision, type Point } from "../policy/retention.ts";
import { parseKeepRules, parsePoints, parseTime } from "../policy/simulate.ts";
import { isTimeZone } from "../policy/zone.ts";
import type { Cli, DefineVerb } from "./cli.ts";
import { count, formatTime, printable } from "./format.ts";
import { readText } from "./read-text.ts";
import { formatTable } from "./table.ts";

interface Flags {
  readonly points: string;
  readonly keep: string;
  readonly now?: string;
  readonly timezone: string;
  readonly json?: boolean;
}

export const define: DefineVerb = (command, cli) => {
  command
    .command("simulate")
    .summary("show what keep rules would keep")
    .description("Applies keep rules to a list of points, by themselves: no repository, no holds, no other guards.")
    .requiredOption("--points <file>", 'JSON: [{"id": "a", "time": "2026-07-01T12:00:00Z", "tags": ["x"]}, …]')
    .requiredOption("--keep <file>", "YAML: the rules, as a policy has them under `keep`")
    .option("--now <time>", "the time to judge at (default: now)")
    .option("--timezone <zone>", "in which days, weeks and months begin", "UTC")
    .option("--json", 'print JSON: {"keep": [{"id", "reasons"}], "remove": ["id", …]}')
    .addHelpText(
      "after",
      `
Example:
  stillpoint list --json > points.json
  echo 'daily: 7' > keep.yaml
  stillpoint retention simulate --points points.json --keep keep.yaml --timezone Europe/Berlin`,
    )
    .action(async (flags: Flags) => await simulate(cli, flags));
};

async function simulate(cli: Cli, flags: Flags): Promise<void> {
  const now = flags.now === undefined ? cli.clock.now() : parseTime(flags.now);
  if (now === undefined) {
    throw usage(
      `Cannot use ${JSON.stringify(flags.now)} as --now`,
      "Give a time with its zone, such as 2026-07-01T12:00:00Z.",
    );
  }
  if (!isTimeZone(flags.timezone)) {
    throw usage(
      `Cannot use ${JSON.stringify(flags.timezone)} as --timezone`,
      "Give a name such as Europe/Berlin or UTC.",
    );
  }
  const points = parsePoints(await read(flags.points, "the points"), flags.points);
  const rules = parseKeepRules(await read(flags.keep, "the keep rules"), flags.keep);
  const decision = applyRules(points, rules, { now, timezone: flags.timezone });
  if (flags.json === true) cli.output.json(decision);
  else print(cli, points, decision);
}

function print({ output }: Cli, points: readonly Point[], { keep, remove }: Decision): void {
  const reasons = new Map(keep.map((kept) => [kept.id, kept.reasons]));
  const rows = points
    .toSorted((a, b) => b.time - a.time || (a.id < b.id ? 1 : -1))
    .map(({ id, time }) => {
      const why = reasons.get(id);
      return [why === undefined ? "remove" : "keep", printable(id), formatTime(time), why?.join(", ") ?? ""];
    });
  const columns = [
    { title: "" },
    { title: "ID", cut: true },
    { title: "TIME (UTC)" },
    { title: "BECAUSE OF", cut: true },
  ];
  for (const line of formatTable(columns, rows, output.width)) output.print(line);
  output.print(`${count(keep.length, "point")} kept, ${count(remove.length, "point")} removed`);
}

async function read(file: string, what: string): Promise<string> {
  return await readText(file, { what, code: "config_missing" });
}

function usage(what: string, next: string): StillpointError {
  return new StillpointError("usage", { what, next });
}
