/** What is wrong, the worst first, and what that comes to. Pure. */
import { formatAge } from "../../cli/format.ts";
import type { DaemonStatus, PointStatus } from "../control-protocol.ts";
import type { Failure } from "../failure-log.ts";
import { age, isMissed, nameOf } from "./words.ts";

/** `bad`: a promise is broken, or will be. `warn`: something is to be looked at, and nothing is lost by it yet. */
export type Level = "good" | "warn" | "bad";

export interface Problem {
  readonly level: Exclude<Level, "good">;
  /** What kind it is, in two words. */
  readonly kind: string;
  readonly title: string;
  /** What was said, in full. */
  readonly text: string | undefined;
}

export interface Verdict {
  readonly level: Level;
  readonly headline: string;
}

/** So many missed objectives are named one by one. */
const mostMissed = 10;

export function problemsOf(status: DaemonStatus): Problem[] {
  const all = [
    ...refused(status),
    ...unreachable(status),
    ...missed(status),
    ...status.failures.filter(({ over }) => over === undefined).map((failure) => failing(failure, status.now)),
    ...damaged(status),
    ...silent(status),
  ];
  return all.toSorted((a, b) => Number(a.level === "warn") - Number(b.level === "warn"));
}

export function verdictOf(status: DaemonStatus, problems: readonly Problem[]): Verdict {
  const promised = status.points.filter(({ objective }) => objective !== undefined);
  const late = promised.filter((point) => isMissed(point, status.now)).length;
  if (late > 0) {
    const objectives = promised.length === 1 ? "The objective is" : `${late} of ${promised.length} objectives are`;
    return { level: "bad", headline: `${objectives} missed` };
  }
  const bad = problems.some(({ level }) => level === "bad");
  if (problems.length > 0) {
    const things = problems.length === 1 ? "One thing needs" : `${problems.length} things need`;
    return { level: bad ? "bad" : "warn", headline: `${things} attention` };
  }
  if (status.points.length === 0) return { level: "warn", headline: "Nothing is protected yet" };
  if (promised.length === 0) return { level: "good", headline: "Nothing is wrong; no objectives are set" };
  return {
    level: "good",
    headline: promised.length === 1 ? "The objective is met" : `All ${promised.length} objectives are met`,
  };
}

function refused({ config }: DaemonStatus): Problem[] {
  if (config.error === undefined) return [];
  const title = `The file ${config.file} isn't in force; the configuration before it is`;
  return [{ level: "bad", kind: "Config refused", title, text: config.error.message }];
}

function unreachable({ locations, now }: DaemonStatus): Problem[] {
  return locations.flatMap(({ location, reachable, error, checked }): Problem[] => {
    if (reachable || error === undefined) return [];
    const seen = checked === undefined ? "never seen" : `last seen ${age(now - checked)} ago`;
    const level = location === "primary" ? "bad" : "warn";
    return [{ level, kind: "Unreachable", title: `${location}, ${seen}`, text: error.message }];
  });
}

function missed({ points, now }: DaemonStatus): Problem[] {
  const late = points.filter((point) => isMissed(point, now));
  const one = ({ policy, source, location, newest, objective = 0 }: PointStatus): Problem => {
    const old = newest === undefined ? "has no recovery point" : `is ${age(now - newest.time)} old`;
    const title = `${source} (${policy}) at ${location} ${old}, objective ${formatAge(objective)}`;
    return { level: "bad", kind: "Objective missed", title, text: undefined };
  };
  const rest = late.length - mostMissed;
  if (rest <= 1) return late.map(one);
  const others = {
    level: "bad",
    kind: "Objective missed",
    title: `and ${rest} more, marked below`,
    text: undefined,
  } as const;
  return [...late.slice(0, mostMissed).map(one), others];
}

function failing(failure: Failure, now: number): Problem {
  const { stage, count, first, last, errors } = failure;
  const times = count === 1 ? "failed" : `failed ${count} times in a row since ${age(now - first)}, last`;
  return {
    level: stage === "capture" || stage === "check" ? "bad" : "warn",
    kind: "Failing",
    title: `${nameOf(failure)} ${times} ${age(now - last)} ago`,
    text: errors.map(({ message }) => message).join("\n"),
  };
}

/** The failed check itself tells it while this process remembers that. */
function damaged({ locations, failures }: DaemonStatus): Problem[] {
  return locations.flatMap(({ location, findings = 0 }): Problem[] => {
    const told = failures.some((one) => one.stage === "check" && one.location === location && one.over === undefined);
    if (findings === 0 || told) return [];
    const text = `\`stillpoint check --location ${location}\` lists it; \`stillpoint repair\` mends it.`;
    return [{ level: "bad", kind: "Damage", title: `The last check of ${location} has found damage`, text }];
  });
}

function silent({ notifications }: DaemonStatus): Problem[] {
  return notifications.flatMap(({ channel, failures, error }): Problem[] => {
    if (failures === 0) return [];
    const times = failures === 1 ? "the last one" : `the last ${failures}`;
    return [
      { level: "warn", kind: "Not delivered", title: `Notifications by ${channel}: ${times} failed`, text: error },
    ];
  });
}
