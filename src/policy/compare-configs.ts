/** What is different in another configuration, in the words of the file. Pure. */
import { isDeepStrictEqual } from "node:util";
import type { Config, Policy } from "./config.ts";
import { readYaml } from "./document.ts";
import { loadConfig } from "./load.ts";
import { nextRun, type Schedule } from "./schedule.ts";

/** A configuration, as it was understood and as it was written. */
export interface ReadConfig {
  readonly config: Config;
  readonly written: Written;
}

type Written = Readonly<Record<string, unknown>>;

/** As `loadConfig`, and throws the same. */
export function readWritten(text: string, file: string, home?: string): ReadConfig {
  const config = loadConfig(text, file, home);
  return { config, written: mapOf(readYaml(text, file).value) };
}

export interface ConfigChanges {
  readonly parts: readonly PartChange[];
  /** Of everything that has no name: repository, maintenance, daemon … */
  readonly settings: readonly SettingChange[];
}

export interface PartChange {
  readonly kind: "source" | "replica" | "policy";
  readonly name: string;
  readonly change: "added" | "removed" | "changed";
  /** Of one that is changed. */
  readonly settings: readonly SettingChange[];
  /** Of a policy whose schedule is another one: its next starts, in ms since the epoch; none for one without fixed times. */
  readonly runs?: { readonly before: readonly number[]; readonly after: readonly number[] };
}

/** `before` and `after` are as they are written; undefined where there is nothing, and the default counts if there is one. */
export interface SettingChange {
  readonly setting: string;
  readonly before: unknown;
  readonly after: unknown;
}

const kinds = { sources: "source", replicas: "replica", policies: "policy" } as const;
const named = Object.keys(kinds) as (keyof typeof kinds)[];

/** What only reads otherwise, such as 60m for 1h, is no change. `now` is in ms since the epoch. */
export function compareConfigs(before: ReadConfig, after: ReadConfig, now: number): ConfigChanges {
  const others = [...new Set([...Object.keys(before.written), ...Object.keys(after.written)])].filter(
    (key) => !named.some((one) => one === key),
  );
  return {
    parts: named.flatMap((section) => compareParts(section, before, after, now)),
    settings: others.flatMap((key) =>
      isDeepStrictEqual(Reflect.get(before.config, key), Reflect.get(after.config, key))
        ? []
        : compareSettings([key], before.written[key], after.written[key]),
    ),
  };
}

function compareParts(section: keyof typeof kinds, before: ReadConfig, after: ReadConfig, now: number): PartChange[] {
  const kind = kinds[section];
  const [was, is] = [mapOf(before.written[section]), mapOf(after.written[section])];
  return [...new Set([...Object.keys(was), ...Object.keys(is)])].flatMap((name): PartChange[] => {
    const part = { kind, name, settings: [] } as const;
    if (!(name in was)) return [{ ...part, change: "added" }];
    if (!(name in is)) return [{ ...part, change: "removed" }];
    const settings = compareSettings([], was[name], is[name]);
    if (settings.length === 0 || isDeepStrictEqual(ownOf(before, section, name), ownOf(after, section, name)))
      return [];
    return [{ ...part, change: "changed", settings, ...(kind === "policy" && movedRuns(before, after, name, now)) }];
  });
}

/** A part as it was understood, without what others that it names are made of. */
function ownOf({ config }: ReadConfig, section: keyof typeof kinds, name: string): unknown {
  if (section !== "policies") return config[section].find((part) => part.name === name);
  const policy = policyOf(config, name);
  const replicate = policy?.replicate.map((one) => ({ ...one, replica: one.replica.name }));
  return { ...policy, sources: policy?.sources.map((source) => source.name), replicate };
}

function movedRuns(before: ReadConfig, after: ReadConfig, name: string, now: number): Pick<PartChange, "runs"> {
  const [was, is] = [policyOf(before.config, name), policyOf(after.config, name)];
  if (was === undefined || is === undefined || isDeepStrictEqual(was.schedule, is.schedule)) return {};
  return { runs: { before: nextRuns(was.schedule, name, now), after: nextRuns(is.schedule, name, now) } };
}

function policyOf({ policies }: Config, name: string): Policy | undefined {
  return policies.find((policy) => policy.name === name);
}

const shownRuns = 3;

/** The next starts of a policy that has just run. Only cron has fixed times. */
function nextRuns(schedule: Schedule, policy: string, now: number): number[] {
  const runs: number[] = [];
  while (schedule.kind === "cron" && runs.length < shownRuns) {
    const last = runs.at(-1) ?? now;
    const next = nextRun(schedule, policy, last, { lastStarted: last });
    if (next === undefined) break;
    runs.push(next);
  }
  return runs;
}

/** Setting by setting; a list is one setting, and so is what a section names, such as a replica, where it comes or goes as a whole. */
function compareSettings(path: readonly string[], before: unknown, after: unknown): SettingChange[] {
  if (isDeepStrictEqual(before, after)) return [];
  const [was, is] = [mapOf(before), mapOf(after)];
  const keys = [...new Set([...Object.keys(was), ...Object.keys(is)])];
  const asWhole = path.length > 1 && (before === undefined || after === undefined);
  // Without keys there is nothing to go into: values, or a map without settings.
  if (!asWhole && keys.length > 0) return keys.flatMap((key) => compareSettings([...path, key], was[key], is[key]));
  return [{ setting: path.join("."), before: withoutSecrets(path, before), after: withoutSecrets(path, after) }];
}

/** Values of environment variables aren't shown: there are passwords among them. */
function withoutSecrets(path: readonly string[], value: unknown): unknown {
  if (isMap(value))
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, withoutSecrets([...path, key], one)]));
  return path.includes("environment") && value !== undefined ? "(not shown)" : value;
}

function isMap(value: unknown): value is Written {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function mapOf(value: unknown): Written {
  return isMap(value) ? value : {};
}
