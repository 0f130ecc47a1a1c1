import { askStatus } from "../daemon/control-client.ts";
import type { DaemonStatus, PointStatus, PolicyStatus } from "../daemon/control-protocol.ts";
import type { ErrorReport, JobReport } from "../job/report.ts";
import type { Cli, DefineVerb } from "./cli.ts";
import { describeReport } from "./describe-report.ts";
import { formatAge, formatTime } from "./format.ts";
import type { Look } from "./look-here.ts";
import { addConfigOption } from "./open-location.ts";
import { type ConfigFlags, readConfig } from "./read-config.ts";
import { formatTable } from "./table.ts";

interface Flags extends ConfigFlags {
  readonly json?: boolean;
}

export const define: DefineVerb = (command, cli) => {
  addConfigOption(command)
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
For each policy, source and location: the newest recovery point, its age against the objective, and what went wrong.
Asks the daemon; without one it looks for itself.

Examples:
  stillpoint status
  stillpoint status --json | jq '.points[] | select(.met == false)'`,
    )
    .action(async (flags: Flags) => await status(cli, flags));
};

async function status(cli: Cli, flags: Flags): Promise<void> {
  const config = await readConfig(flags, cli);
  const daemon = await askStatus(config.repository.state, { signal: cli.signal });
  const look = daemon ?? (await (await import("./look-here.ts")).lookHere(cli, config));
  if (flags.json === true) cli.output.json(describe(cli, look, daemon));
  else print(cli, look, daemon);
}

function describe(cli: Cli, { points, locations }: Look, daemon: DaemonStatus | undefined): object {
  return {
    daemon: daemon === undefined ? null : describeReport(withoutLists(daemon)),
    points: points.map((point) => ({
      ...(describeReport({ ...point, objective: undefined }) as object),
      verified: point.verified === undefined ? null : new Date(point.verified).toISOString(),
      objective: point.objective === undefined ? null : point.objective / 1000,
      age: ageOf(cli, point) === undefined ? null : Math.floor((ageOf(cli, point) ?? 0) / 1000),
      met: isMet(cli, point) ?? null,
    })),
    work: describeReport(daemon?.work ?? []),
    failures: describeReport(daemon?.failures ?? []),
    policies: describeReport(daemon?.policies ?? []),
    locations: describeReport(locations),
    notifications: describeReport(daemon?.notifications ?? []),
  };
}

function withoutLists(daemon: DaemonStatus): object {
  const { version, host, pid, now, started, address, config, notReady, maintenance } = daemon;
  return { version, host, pid, now, started, address, config, notReady, maintenance };
}

/** In ms; undefined when there is no point. */
function ageOf({ clock }: Cli, { newest }: PointStatus): number | undefined {
  return newest === undefined ? undefined : clock.now() - newest.time;
}

/** Undefined when nothing is promised. */
function isMet(cli: Cli, point: PointStatus): boolean | undefined {
  if (point.objective === undefined) return undefined;
  return (ageOf(cli, point) ?? Number.POSITIVE_INFINITY) <= point.objective;
}

function print(cli: Cli, look: Look, daemon: DaemonStatus | undefined): void {
  const { output } = cli;
  printDaemon(cli, daemon);
  output.print();
  const unreachable = new Map(
    look.locations.flatMap(({ location, error }) => (error === undefined ? [] : [[location, error]])),
  );
  const rows = look.points.map((point) => [
    point.policy,
    point.source,
    point.location,
    point.newest === undefined ? "" : point.newest.id.slice(0, 8),
    point.newest === undefined ? "never" : formatTime(point.newest.time),
    formatAge(ageOf(cli, point) ?? Number.POSITIVE_INFINITY),
    point.objective === undefined ? "" : formatAge(point.objective),
    state(cli, point, unreachable.has(point.location)),
  ]);
  const columns = [
    { title: "POLICY", cut: true },
    { title: "SOURCE", cut: true },
    { title: "LOCATION", cut: true },
    { title: "NEWEST" },
    { title: "TIME (UTC)" },
    { title: "AGE", align: "right" },
    { title: "OBJECTIVE", align: "right" },
    { title: "" },
  ] as const;
  const [title = "", ...lines] = formatTable(columns, rows, output.width);
  output.print(output.style("bold", title));
  for (const line of lines) output.print(line);
  if (daemon !== undefined) printRuns(cli, daemon.policies);
  for (const [location, { message }] of unreachable) printError(cli, location, message);
}

function state(cli: Cli, point: PointStatus, unreachable: boolean): string {
  const age = point.newest === undefined ? "NEVER CAPTURED" : isMet(cli, point) === false ? "TOO OLD" : "ok";
  return unreachable ? `${age}, as last seen: unreachable` : age;
}

function printDaemon({ output, clock }: Cli, daemon: DaemonStatus | undefined): void {
  if (daemon === undefined) {
    output.print("No daemon runs: nothing is captured on schedule. `stillpoint daemon` starts one.");
    return;
  }
  const { version, pid, started, address, notReady } = daemon;
  output.print(
    `Stillpoint ${version}, process ${pid}, for ${formatAge(clock.now() - started)}; metrics at ${address}/metrics`,
  );
  for (const sentence of notReady) output.print(sentence);
}

function printRuns(cli: Cli, policies: readonly PolicyStatus[]): void {
  const { output, clock } = cli;
  output.print();
  for (const { policy, running, nextRun, lastJob } of policies) {
    const next = nextRun === undefined ? "when asked to" : `in ${formatAge(Math.max(0, nextRun - clock.now()))}`;
    const last =
      lastJob === undefined
        ? ""
        : `; the last one ended ${formatAge(clock.now() - lastJob.finished)} ago: ${lastJob.outcome}`;
    output.print(`${policy}: ${running ? "running now" : `runs ${next}`}${last}`);
    if (lastJob !== undefined) for (const [where, { message }] of errorsOf(lastJob)) printError(cli, where, message);
  }
}

function printError({ output }: Cli, where: string, message: string): void {
  output.print(`  ${output.style("red", where)}: ${message}`);
}

function errorsOf({ sources, replicas, prune }: JobReport): [string, ErrorReport][] {
  return [
    ...sources.flatMap(({ source, errors }) => errors.map((error): [string, ErrorReport] => [source, error])),
    ...replicas.flatMap(({ replica, errors }) => errors.map((error): [string, ErrorReport] => [replica, error])),
    ...prune.flatMap(({ location, errors }) => errors.map((error): [string, ErrorReport] => [location, error])),
  ];
}
