import { exitStatus } from "../errors.ts";
import { OpenLocations } from "../job/open-locations.ts";
import { primaryName, prunedLocations, requireLocation } from "../job/locations.ts";
import { executePlanned, planPruneStage, type PruneContext } from "../job/prune-stage.ts";
import { type ErrorReport, errorReport } from "../job/report.ts";
import { blockedError, isBlocked } from "../job/retention-change.ts";
import type { Config, Policy } from "../policy/config.ts";
import type { CatalogPoint } from "../repository/points/catalog.ts";
import type { PlannedGroup } from "../prune/plan-prune.ts";
import type { Cli, DefineVerb } from "./cli.ts";
import { findPolicy } from "../policy/find-named.ts";
import { count, formatTime } from "./format.ts";
import { lookingContext } from "./looking-context.ts";
import { addConfigOption } from "./open-location.ts";
import { endIfCancelled, printErrors } from "./print-job.ts";
import { type ConfigFlags, readConfig } from "./read-config.ts";
import { Progress, type ProgressFlags } from "./progress.ts";
import { formatTable } from "./table.ts";

interface Flags extends ConfigFlags, ProgressFlags {
  readonly location?: string;
  readonly dryRun?: boolean;
}

/** What became of one policy at one location. */
interface PruneResult {
  readonly policy: string;
  readonly location: string;
  readonly sources: readonly PlannedGroup[];
  /** Ids, also of those that were forgotten before it failed; empty in a dry run. */
  readonly forgotten: readonly string[];
  readonly error: ErrorReport | undefined;
}

export const define: DefineVerb = (command, cli) => {
  addConfigOption(command.argument("[policy]", "only the recovery points of this policy"))
    .option(
      "--location <name>",
      "only at this location; at a replica without asking the primary, which may be elsewhere",
    )
    .option("--dry-run", "show what it would forget, and why the rest stays")
    .option("--quiet", "print no progress")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Forgets what no rule keeps, at the primary and at each replica by its own rules. Held points stay, and the newest one,
and the newest verified one, whatever the rules say. The space is freed by the sweeps that follow.

Examples:
  stillpoint prune --dry-run
  stillpoint prune nightly
  stillpoint prune --location vault`,
    )
    .action(async (policy: string | undefined, flags: Flags) => await prune(cli, policy, flags));
};

async function prune(cli: Cli, name: string | undefined, flags: Flags): Promise<void> {
  const config = await readConfig(flags, cli);
  const policies = name === undefined ? config.policies : [findPolicy(config, name)];
  if (flags.location !== undefined) requireLocation(config, flags.location);
  const context = await makeContext(cli, config, flags);
  const results: PruneResult[] = [];
  for (const policy of policies) {
    for (const location of locationsOf(policy, flags.location))
      results.push(await pruneLocation(cli, context, { policy, location }, flags));
  }
  if (flags.json === true) cli.output.json(results.map(describe));
  else if (results.length === 0)
    cli.output.print("Nothing is to be pruned: no policy that was asked for replicates there.");
  else for (const result of results) print(cli, result, flags);
  cli.exit = exitOf(results);
  endIfCancelled(results.map(({ error }) => error));
}

/** All that this host may delete at; or the one asked for, if the policy has it. */
function locationsOf(policy: Policy, asked: string | undefined): string[] {
  if (asked === undefined) return prunedLocations(policy);
  return [primaryName, ...policy.replicate.map(({ replica }) => replica.name)].filter((location) => location === asked);
}

/**
 * Opens at once what is to be pruned first, so that a wrong key or a missing disk is said once. Who prunes a replica alone may
 * have no primary.
 */
async function makeContext(cli: Cli, config: Config, { dryRun, location }: Flags): Promise<PruneContext> {
  const { clock, environment, signal } = cli;
  const looking = lookingContext(cli, config);
  const opened = new OpenLocations(() => config, clock, { environment });
  const alone = { replica: looking.locations.replica, location: opened.alone.bind(opened) };
  const locations = dryRun === true ? looking.locations : location === undefined ? opened : alone;
  await locations.location(location ?? primaryName, signal);
  return { ...looking, locations };
}

async function pruneLocation(
  cli: Cli,
  context: PruneContext,
  { policy, location }: { policy: Policy; location: string },
  flags: Flags,
): Promise<PruneResult> {
  const { signal } = cli;
  const progress = new Progress(cli, flags);
  const forgotten: string[] = [];
  const blank = { policy: policy.name, location, sources: [], forgotten, error: undefined };
  try {
    const planned = await planPruneStage(context, { policy, location, signal });
    const sources = planned.plan.groups;
    if (flags.dryRun === true) {
      const { change } = planned;
      return { ...blank, sources, error: isBlocked(change) ? errorReport(blockedError(change)) : undefined };
    }
    const total = sources.reduce((sum, { remove }) => sum + remove.length, 0);
    const onForgotten = ({ id }: CatalogPoint): void => {
      forgotten.push(id);
      progress.update(`forgetting at ${location}`, forgotten.length, total, "points");
    };
    await executePlanned(planned, { signal, onForgotten });
    return { ...blank, sources };
  } catch (error) {
    return { ...blank, error: errorReport(error) };
  } finally {
    progress.end();
  }
}

/** As docs/operations.md says. */
function describe({ policy, location, sources, forgotten, error }: PruneResult): object {
  const shown = sources.map(({ source, keep, remove, givenUp }) => ({
    source,
    keep: keep.map(({ id, time, reasons }) => ({ id, time: new Date(time).toISOString(), reasons })),
    remove: remove.map(({ id }) => id),
    given_up: givenUp,
  }));
  return { policy, location, sources: shown, forgotten, error: error ?? null };
}

function print(cli: Cli, { policy, location, sources, forgotten, error }: PruneResult, { dryRun }: Flags): void {
  const { output } = cli;
  if (error !== undefined) {
    printErrors(output, `${policy} at ${location}`, [error]);
    if (forgotten.length > 0) output.print(`  ${count(forgotten.length, "recovery point")} forgotten before that`);
  }
  for (const { source, keep, remove, givenUp } of sources) {
    const title = output.style("bold", `${policy}: ${source} at ${location}`);
    const done = dryRun === true ? "would be forgotten" : "forgotten";
    output.print(`${title}: ${count(keep.length, "recovery point")} kept, ${remove.length} ${done}`);
    if (givenUp.length > 0)
      output.print(`  ${givenUp.length} of these never reached a replica: the limit of \`unreplicated\` is reached`);
    const held = dryRun === true ? [] : remove.filter(({ id }) => !forgotten.includes(id));
    if (held.length > 0) output.print(`  ${held.length} of these are held since, and stay`);
    if (dryRun !== true) continue;
    const rows = [
      ...keep.map(({ id, time, reasons }) => ["  keep", id.slice(0, 8), formatTime(time), reasons.join(", ")]),
      ...remove.map(({ id, time }) => ["  forget", id.slice(0, 8), formatTime(time), ""]),
    ];
    const columns = [{ title: "" }, { title: "" }, { title: "" }, { title: "", cut: true }];
    for (const line of formatTable(columns, rows, output.width).slice(1)) output.print(line);
  }
}

function exitOf(results: readonly PruneResult[]): number {
  const failed = results.filter(({ error }) => error !== undefined).length;
  if (failed === 0) return exitStatus.ok;
  return failed === results.length ? exitStatus.failed : exitStatus.partial;
}
