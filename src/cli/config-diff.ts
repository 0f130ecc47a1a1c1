import * as path from "node:path";
import { askConfig } from "../daemon/control-client.ts";
import { exitStatus } from "../errors.ts";
import { isBlocked } from "../job/retention-change.ts";
import { rulesAt } from "../job/rules.ts";
import {
  compareConfigs,
  type ConfigChanges,
  type PartChange,
  type ReadConfig,
  readWritten,
  type SettingChange,
} from "../policy/compare-configs.ts";
import type { Config } from "../policy/config.ts";
import type { Cli } from "./cli.ts";
import { describeReport } from "./describe-report.ts";
import { formatTime } from "./format.ts";
import { planRetention, type RetentionPlan, type RetentionQuestion } from "./plan-retention.ts";
import { printRetention } from "./print-retention.ts";
import { type ConfigFlags, configPath, readConfigText } from "./read-config.ts";

export interface DiffFlags extends ConfigFlags {
  readonly against?: string;
  readonly json?: boolean;
}

/** What the new file is compared with. */
interface Base {
  /** For a person. */
  readonly what: string;
  readonly read: ReadConfig;
}

export async function diffConfig(cli: Cli, file: string | undefined, flags: DiffFlags): Promise<void> {
  const usual = configPath(flags, cli);
  const chosen = file === undefined ? usual : path.resolve(file);
  // Wherever the new file lies now, it is to take the place of the usual one.
  const after = readWritten(await readConfigText(chosen), chosen, path.dirname(usual));
  const base = await findBase(cli, usual, after.config, flags);
  const changes = compareConfigs(base.read, after, cli.clock.now());
  const before = rulesBefore(base.read.config, flags.against !== undefined);
  const plans = await planRetention(cli, after.config, { policies: after.config.policies, before });
  if (plans.some(({ error }) => error !== undefined)) cli.exit = exitStatus.partial;
  if (flags.json === true) return cli.output.json(describe(chosen, base, changes, plans));
  print(cli, base, changes);
  printRetention(cli, plans);
}

async function findBase(cli: Cli, usual: string, { repository }: Config, { against }: DiffFlags): Promise<Base> {
  const other = against === undefined ? usual : path.resolve(against);
  const inForce = against === undefined ? await askConfig(repository.state, { signal: cli.signal }) : undefined;
  if (inForce !== undefined) {
    return { what: "what the daemon has in force", read: readWritten(inForce.text, inForce.file) };
  }
  return { what: other, read: readWritten(await readConfigText(other), other, path.dirname(usual)) };
}

/** A file that was named counts most; else what was really applied, and only then what a configuration says. */
function rulesBefore({ policies }: Config, named: boolean): RetentionQuestion["before"] {
  return ({ name }, location, applied) => {
    const policy = policies.find((one) => one.name === name);
    const written = policy === undefined ? undefined : rulesAt(policy, location);
    return named ? (written ?? applied) : (applied ?? written);
  };
}

function describe(
  file: string,
  base: Base,
  { parts, settings }: ConfigChanges,
  plans: readonly RetentionPlan[],
): object {
  const time = (ms: number): string => new Date(ms).toISOString();
  return {
    file,
    against: base.what,
    parts: parts.map(({ runs, settings: changed, ...part }) => ({
      ...part,
      settings: changed.map(withNull),
      runs: runs === undefined ? null : { before: runs.before.map(time), after: runs.after.map(time) },
    })),
    settings: settings.map(withNull),
    retention: plans.map(({ change, ...plan }) => ({
      ...(describeReport(plan) as object),
      blocked: change === undefined ? null : isBlocked(change),
    })),
  };
}

/** JSON has no undefined. */
function withNull({ setting, before = null, after = null }: SettingChange): object {
  return { setting, before, after };
}

function print(cli: Cli, { what }: Base, { parts, settings }: ConfigChanges): void {
  const { output } = cli;
  if (parts.length + settings.length === 0) output.print(`Nothing is different from ${what}.`);
  else output.print(`Different from ${what}:`);
  for (const part of parts) printPart(cli, part);
  for (const setting of settings) output.print(`${output.style("yellow", "changed")}  ${describeChange(setting)}`);
}

const styles = { added: "green", removed: "red", changed: "yellow" } as const;

function printPart({ output }: Cli, { kind, name, change, settings, runs }: PartChange): void {
  output.print(`${output.style(styles[change], change.padEnd(7))}  ${kind} ${name}`);
  for (const setting of settings) output.print(`           ${describeChange(setting)}`);
  if (runs === undefined) return;
  output.print(`           next runs (UTC) before: ${showRuns(runs.before)}`);
  output.print(`           next runs (UTC) after:  ${showRuns(runs.after)}`);
}

function describeChange({ setting, before, after }: SettingChange): string {
  return `${setting}: ${show(before)} -> ${show(after)}`;
}

function show(value: unknown): string {
  return value === undefined ? "(not set)" : JSON.stringify(value);
}

function showRuns(runs: readonly number[]): string {
  return runs.length === 0 ? "at no fixed times" : runs.map(formatTime).join(", ");
}
