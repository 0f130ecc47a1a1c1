import { exitStatus } from "../errors.ts";
import { askRun } from "../daemon/control-client.ts";
import type { JobEvent, JobReport } from "../job/report.ts";
import type { Config } from "../policy/config.ts";
import type { Cli, DefineVerb } from "./cli.ts";
import { describeReport } from "./describe-report.ts";
import { findPolicy, findSource } from "../policy/find-named.ts";
import { addConfigOption } from "./open-location.ts";
import { endIfCancelled, printJob } from "./print-job.ts";
import { Progress, type ProgressFlags } from "./progress.ts";
import { type ConfigFlags, readConfig } from "./read-config.ts";

interface Flags extends ConfigFlags, ProgressFlags {
  readonly source?: string;
}

export const define: DefineVerb = (command, cli) => {
  addConfigOption(command.argument("<policy>", "the policy's name"))
    .option("--source <name>", "capture only this one of its sources")
    .option("--quiet", "print no progress")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Captures the policy's sources, brings its replicas up to date, and forgets what its rules don't keep. A running daemon
does the work; without one it is done here.

Examples:
  stillpoint run nightly
  stillpoint run nightly --source etc`,
    )
    .action(async (policy: string, flags: Flags) => await run(cli, policy, flags));
};

async function run(cli: Cli, policy: string, flags: Flags): Promise<void> {
  const config = await readConfig(flags, cli);
  const progress = new Progress(cli, flags);
  const onEvent = (event: JobEvent): void => show(progress, event);
  const { signal } = cli;
  const asked = { policy, source: flags.source, onEvent, signal };
  try {
    const report = (await askRun(config.repository.state, asked)) ?? (await runHere(cli, config, asked));
    progress.end();
    if (flags.json === true) cli.output.json(describeReport(report));
    else printJob(cli, report);
    cli.exit = exitOf(report);
    endIfCancelled([...report.sources, ...report.replicas, ...report.prune].flatMap(({ errors }) => errors));
  } finally {
    progress.end();
  }
}

interface Asked {
  readonly policy: string;
  readonly source: string | undefined;
  readonly onEvent: (event: JobEvent) => void;
}

async function runHere(cli: Cli, config: Config, { policy: name, source, onEvent }: Asked): Promise<JobReport> {
  const policy = findPolicy(config, name);
  const sources = source === undefined ? undefined : [findSource(policy, source)];
  const { makeJobContext } = await import("./job-context.ts");
  const { runJob } = await import("../job/run-job.ts");
  return await runJob(await makeJobContext(cli, config), { policy, sources, signal: cli.signal, onEvent });
}

function show(progress: Progress, event: JobEvent): void {
  if (event.event === "capture-progress") progress.update(event.source, event.done, event.total);
  if (event.event === "replication-progress") progress.update(`to ${event.replica}`, event.done, event.total);
}

function exitOf({ outcome }: JobReport): number {
  if (outcome === "ok") return exitStatus.ok;
  return outcome === "partial" ? exitStatus.partial : exitStatus.failed;
}
