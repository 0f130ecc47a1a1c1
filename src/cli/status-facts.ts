/** What there is to say of a status in words: whether all is well, what isn't, what a piece of work is called. Pure. */
import type { DaemonStatus, PointStatus, WorkStatus } from "../daemon/control-protocol.ts";
import { primaryName } from "../job/locations.ts";
import { count, formatTime, printable } from "./format.ts";
import type { Look } from "./look-here.ts";

export interface StatusView {
  /** Undefined when no daemon runs. */
  readonly daemon: DaemonStatus | undefined;
  readonly look: Look;
  /** In ms since the epoch. */
  readonly now: number;
}

/** In a sentence: whether every promise is kept, and whether anything fails. */
export function verdictOf({ daemon, look, now }: StatusView): { readonly text: string; readonly good: boolean } {
  const promised = look.points.filter(({ objective }) => objective !== undefined);
  const missed = promised.filter((point) => isMet(point, now) === false).length;
  const failing = troublesOf(daemon, look).length;
  const [one, all] = [promised.length === 1, count(promised.length, "objective")];
  const kept = one ? "the objective is met" : `all ${all} are met`;
  const broken = one ? "the objective is missed" : `${missed} of ${all} missed`;
  const objectives = promised.length === 0 ? "no objective is set" : missed === 0 ? kept : broken;
  const troubles = failing === 0 ? "" : `, ${count(failing, "thing")} failing`;
  return { text: `${objectives}${troubles}`, good: missed === 0 && failing === 0 };
}

/** In ms; undefined when there is no point. */
export function ageOf({ newest }: PointStatus, now: number): number | undefined {
  return newest === undefined ? undefined : now - newest.time;
}

/** Undefined when nothing is promised. */
export function isMet(point: PointStatus, now: number): boolean | undefined {
  if (point.objective === undefined) return undefined;
  return (ageOf(point, now) ?? Number.POSITIVE_INFINITY) <= point.objective;
}

/** `capture of etc, nightly`: what a piece of work is about. */
export function nameOf({ stage, policy, source, location }: Partial<WorkStatus> & Pick<WorkStatus, "stage">): string {
  const what =
    source !== undefined
      ? `capture of ${source}`
      : stage === "replication"
        ? `replication to ${location ?? ""}`
        : `${stage} of ${location ?? ""}`;
  return policy === undefined ? what : `${what}, ${policy}`;
}

/** How a point stands, in words. */
export function stateOf(point: PointStatus, now: number, away: boolean): string {
  const none = point.location === primaryName ? "NEVER CAPTURED" : "NOTHING THERE";
  const state = point.newest === undefined ? none : isMet(point, now) === false ? "TOO OLD" : "ok";
  return away ? `${state}, as last seen: unreachable` : state;
}

/** Something that fails just now. */
export interface Trouble {
  readonly what: string;
  readonly messages: readonly string[];
}

export function troublesOf(daemon: DaemonStatus | undefined, { locations }: Look): Trouble[] {
  const config = daemon?.config;
  const refused =
    config?.error === undefined
      ? []
      : [
          {
            what: `configuration refused: the one of ${formatTime(config.loaded)} UTC stays in force`,
            messages: [config.error.message],
          },
        ];
  const failures = (daemon?.failures ?? [])
    .filter(({ over }) => over === undefined)
    .map(({ count: times, first, errors, ...work }) => ({
      what: `${nameOf(work)}: ${times === 1 ? "failed at" : `failed ${times} times since`} ${formatTime(first)} UTC`,
      messages: errors.map(({ message }) => message),
    }));
  const away = locations.flatMap(({ location, error }) =>
    error === undefined ? [] : [{ what: `${location} can't be reached`, messages: [error.message] }],
  );
  const silent = (daemon?.notifications ?? [])
    .filter(({ failures: failed }) => failed > 0)
    .map(({ channel, failures: failed, error = "" }) => ({
      what: `notices by ${channel}: the last ${failed === 1 ? "one was" : `${failed} were`} not delivered`,
      messages: [error],
    }));
  return [...refused, ...failures, ...away, ...silent];
}

/** What is true of a view in lines of their own, to be told when they become true: for where no screen can be redrawn. */
export function factsOf(view: StatusView): string[] {
  const { daemon, look, now } = view;
  const away = new Set(look.locations.filter(({ reachable }) => !reachable).map(({ location }) => location));
  const bad = look.points
    .map((point) => ({ point, state: stateOf(point, now, away.has(point.location)) }))
    .filter(({ state }) => state !== "ok")
    .map(({ point, state }) => `${point.policy}: ${point.source} at ${point.location}: ${state}`);
  const troubles = troublesOf(daemon, look).map(({ what, messages }) => `${what}: ${messages.join(" ")}`);
  return [...(daemon?.notReady ?? []), ...bad, ...troubles.map((text) => printable(text)), verdictOf(view).text];
}
