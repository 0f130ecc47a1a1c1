import { exitStatus } from "../errors.ts";
import { nothingSent, type ReplicaReport, stage } from "../job/report.ts";
import type { JobContext } from "../job/run-job.ts";
import type { Policy, Replication } from "../policy/config.ts";
import type { Cli, DefineVerb } from "./cli.ts";
import { describeReport } from "./describe-report.ts";
import { findPolicy } from "./find-policy.ts";
import { addConfigOption } from "./open-location.ts";
import { printReplica } from "./print-job.ts";
import { Progress, type ProgressFlags } from "./progress.ts";
import { type ConfigFlags, readConfig } from "./read-config.ts";

interface Flags extends ConfigFlags, ProgressFlags {}

/** What one policy has to replicate to one replica. */
interface Errand {
  readonly policy: Policy;
  readonly to: Replication;
}

type ErrandReport = ReplicaReport & { readonly policy: string };

export const define: DefineVerb = (command, cli) => {
  addConfigOption(command.argument("[policy]", "only what this policy replicates"))
    .option("--quiet", "print no progress")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Sends each replica the recovery points that it lacks, oldest first. Captures nothing, forgets nothing. What was sent
before it was interrupted isn't sent again.

Examples:
  stillpoint replicate
  stillpoint replicate nightly`,
    )
    .action(async (policy: string | undefined, flags: Flags) => await replicate(cli, policy, flags));
};

async function replicate(cli: Cli, name: string | undefined, flags: Flags): Promise<void> {
  const config = await readConfig(flags, cli);
  const policies = name === undefined ? config.policies : [findPolicy(config, name)];
  const errands = policies.flatMap((policy) => policy.replicate.map((to) => ({ policy, to })));
  const { makeJobContext } = await import("./job-context.ts");
  const context = await makeJobContext(cli, config);
  const progress = new Progress(cli, flags);
  const reports = await runErrands(cli, context, errands, progress);
  progress.end();
  if (flags.json === true) cli.output.json(describeReport(reports));
  else print(cli, reports);
  cli.exit = exitOf(reports);
}

/** All replicas at once, so that a dead one delays no other; the policies of one replica one after the other. */
async function runErrands(
  cli: Cli,
  context: JobContext,
  errands: readonly Errand[],
  progress: Progress,
): Promise<ErrandReport[]> {
  const byReplica = Map.groupBy(errands, ({ to }) => to.replica.name);
  const done = await Promise.all(
    [...byReplica.values()].map(async (group) => {
      const reports: ErrandReport[] = [];
      for (const errand of group) reports.push(await runErrand(cli, context, errand, progress));
      return reports;
    }),
  );
  return done.flat();
}

async function runErrand(
  cli: Cli,
  context: JobContext,
  { policy, to }: Errand,
  progress: Progress,
): Promise<ErrandReport> {
  const { stages, clock } = context;
  const replica = to.replica.name;
  return await stage(
    clock,
    { policy: policy.name, replica, ...nothingSent },
    async () =>
      await stages.replicate({
        policy,
        to,
        job: policy,
        signal: cli.signal,
        progress: (done, total) => progress.update(`to ${replica}`, done, total),
      }),
  );
}

function print(cli: Cli, reports: readonly ErrandReport[]): void {
  if (reports.length === 0) cli.output.print("Nothing is to be replicated: no policy names a replica.");
  for (const report of reports) printReplica(cli, { ...report, replica: `${report.replica}, ${report.policy}` });
}

function exitOf(reports: readonly ErrandReport[]): number {
  const failed = reports.filter(({ outcome }) => outcome === "failed").length;
  if (failed > 0 && failed === reports.length) return exitStatus.failed;
  return reports.every(({ outcome }) => outcome === "ok") ? exitStatus.ok : exitStatus.partial;
}
