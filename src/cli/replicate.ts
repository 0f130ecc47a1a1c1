import { InvalidArgumentError } from "commander";
import { exitStatus, StillpointError } from "../errors.ts";
import { primaryName, replicaNamed, requireLocation } from "../job/locations.ts";
import { inTurn } from "../job/in-turn.ts";
import { nothingSent, type ReplicaReport, stage } from "../job/report.ts";
import type { JobContext } from "../job/run-job.ts";
import type { Config, Policy, Replication } from "../policy/config.ts";
import type { Cli, DefineVerb } from "./cli.ts";
import { describeReport } from "./describe-report.ts";
import { findPolicy } from "../policy/find-named.ts";
import { addConfigOption } from "./open-location.ts";
import { endIfCancelled, printReplica } from "./print-job.ts";
import { Progress, type ProgressFlags } from "./progress.ts";
import { type ConfigFlags, readConfig } from "./read-config.ts";
import type { Verification } from "./verify-replica.ts";

interface Flags extends ConfigFlags, ProgressFlags {
  readonly from?: string;
  readonly to?: string;
  /** Into how many parts the packs fall, one of which is read; undefined reads none. */
  readonly verify?: true | number;
}

/** What one policy has to replicate to one replica. */
interface Errand {
  readonly policy: Policy;
  readonly to: Replication;
  /** A location. */
  readonly from: string;
}

type ErrandReport = ReplicaReport & { readonly policy: string };

const usualParts = 10;

export const define: DefineVerb = (command, cli) => {
  addConfigOption(command.argument("[policy]", "only what this policy replicates"))
    .option(
      "--from <location>",
      "replicate what this location has, and ask no other; default: as the configuration says",
    )
    .option("--to <replica>", "only to this replica")
    .option("--verify [1/n]", "then read one of n parts of each replica again, chosen by chance (1/10)", parseShare)
    .option("--quiet", "print no progress")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Sends each replica the recovery points that it lacks, oldest first. Captures nothing, forgets nothing. What was sent
before it was interrupted isn't sent again. With --verify it also checks each replica, as \`check --read-data\` does; having
read all of it (1/1), it records that with each recovery point. Damage makes the exit status 4.

Examples:
  stillpoint replicate
  stillpoint replicate nightly --verify
  stillpoint replicate --to vault --verify 1/1
  stillpoint replicate --from dc2 --to dc3`,
    )
    .action(async (policy: string | undefined, flags: Flags) => await replicate(cli, policy, flags));
};

async function replicate(cli: Cli, name: string | undefined, flags: Flags): Promise<void> {
  const config = await readConfig(flags, cli);
  const errands = errandsOf(config, name, flags);
  const { makeJobContext } = await import("./job-context.ts");
  const fromPrimary = errands.some(({ from }) => from === primaryName);
  const context = await makeJobContext(cli, config, fromPrimary ? primaryName : errands[0]?.from);
  const progress = new Progress(cli, flags);
  const reports = await runErrands(cli, context, errands, progress);
  const verified = flags.verify === undefined ? undefined : await verifyAll(cli, config, reports, flags, progress);
  progress.end();
  if (flags.json === true) {
    const shown = reports.map((report) => ({ ...report, ...(verified && { verified: verified.get(report.replica) }) }));
    cli.output.json(describeReport(shown));
  } else await print(cli, reports, verified);
  const verifications = [...(verified?.values() ?? [])];
  cli.exit = exitOf(reports, verifications);
  endIfCancelled([...reports.flatMap(({ errors }) => errors), ...verifications.map(({ error }) => error)]);
}

/** Throws `not_found`, or `usage` when no policy replicates there. */
function errandsOf(config: Config, name: string | undefined, { from: asked, to }: Flags): Errand[] {
  if (asked !== undefined) requireLocation(config, asked);
  if (to !== undefined) replicaNamed(config, to);
  const policies = name === undefined ? config.policies : [findPolicy(config, name)];
  const all = policies.flatMap((policy) =>
    policy.replicate.map((one) => ({ policy, to: one, from: asked ?? one.from ?? primaryName })),
  );
  const errands = all.filter(
    ({ to: { replica }, from }) => replica.name !== from && (to === undefined || replica.name === to),
  );
  if (errands.length > 0 || to === undefined) return errands;
  throw new StillpointError("usage", {
    what: `Cannot replicate${asked === undefined ? "" : ` from ${asked}`} to ${to}: no policy that was asked for replicates there`,
    safe: "Nothing was sent.",
    next: "Name the replica under a policy's `replicate`: it says what is kept there.",
  });
}

function parseShare(text: string): number {
  const parts = /^1\/([1-9]\d{0,3})$/.exec(text)?.[1];
  if (parts === undefined) throw new InvalidArgumentError("Give a share such as 1/10, or 1/1 for everything.");
  return Number(parts);
}

/** The replicas that could be reached, one after the other: each keeps the processors busy. */
async function verifyAll(
  cli: Cli,
  config: Config,
  reports: readonly ErrandReport[],
  { verify }: Flags,
  progress: Progress,
): Promise<Map<string, Verification>> {
  const { verifyReplica } = await import("./verify-replica.ts");
  const parts = typeof verify === "number" ? verify : usualParts;
  const verified = new Map<string, Verification>();
  for (const { replica, outcome } of reports) {
    if (outcome === "failed" || verified.has(replica)) continue;
    verified.set(replica, await verifyReplica(cli, config, { replica, parts }, progress));
  }
  return verified;
}

/**
 * All replicas at once, so that a dead one delays no other, but for those that get their points from it; the policies of one replica one
 * after the other.
 */
async function runErrands(
  cli: Cli,
  context: JobContext,
  errands: readonly Errand[],
  progress: Progress,
): Promise<ErrandReport[]> {
  const comesAfter = (errand: Errand): Errand[] => {
    const before = errands.slice(0, errands.indexOf(errand)).findLast(({ to }) => to.replica === errand.to.replica);
    const origin = errands.find(({ policy, to }) => policy === errand.policy && to.replica.name === errand.from);
    return [before, origin].filter((one) => one !== undefined);
  };
  return await inTurn(errands, comesAfter, async (errand) => await runErrand(cli, context, errand, progress));
}

async function runErrand(
  cli: Cli,
  context: JobContext,
  { policy, to, from }: Errand,
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
        from,
        job: policy,
        signal: cli.signal,
        progress: (done, total) => progress.update(`to ${replica}`, done, total),
      }),
  );
}

async function print(
  cli: Cli,
  reports: readonly ErrandReport[],
  verified: ReadonlyMap<string, Verification> | undefined,
): Promise<void> {
  if (reports.length === 0) cli.output.print("Nothing is to be replicated: no policy names a replica.");
  for (const report of reports) printReplica(cli, { ...report, replica: `${report.replica}, ${report.policy}` });
  if (verified === undefined) return;
  const { printVerification } = await import("./verify-replica.ts");
  for (const [replica, verification] of verified) printVerification(cli, replica, verification);
}

function exitOf(reports: readonly ErrandReport[], verified: readonly Verification[]): number {
  if (verified.some(({ report }) => (report?.findings.length ?? 0) > 0)) return exitStatus.damage;
  const failed = reports.filter(({ outcome }) => outcome === "failed").length;
  if (failed > 0 && failed === reports.length) return exitStatus.failed;
  const all = reports.every(({ outcome }) => outcome === "ok") && verified.every(({ error }) => error === undefined);
  return all ? exitStatus.ok : exitStatus.partial;
}
