/** What is looked after, and how it is: what notices are made of. */
import type { Concern, Subject } from "../notify/notice.ts";
import { formatDuration } from "../policy/units.ts";
import type { Failures } from "./failure-records.ts";
import type { PointStatus } from "./control-protocol.ts";
import { primaryName, sweptLocations } from "../job/locations.ts";
import { signsOfOthers } from "../job/signs-of-others.ts";
import { policiesAtLocations, policiesAtReplicas, pointsOf, type StatusSources } from "./status.ts";

const minute = 60_000;

type Sources = Pick<StatusSources, "configFile" | "jobs" | "failures" | "board" | "maintenance" | "monitor" | "clock">;

export function concernsOf(sources: Sources): Concern[] {
  const points = pointsOf(sources);
  return [
    ...configuration(sources),
    ...captures(sources, points),
    ...replications(sources),
    ...signs(sources),
    ...policiesAtLocations(sources).map(({ policy, location }) =>
      inARow({ kind: "prune", policy, location }, sources.failures.prunes(policy, location)),
    ),
    ...maintained(sources),
    ...objectives(sources, points),
  ];
}

/** Whether every recovery point that something is promised of is young enough. */
export function everyObjectiveMet(sources: Sources): boolean {
  return pointsOf(sources).every((point) => isMet(point, sources.clock.now()));
}

function isMet({ newest, objective }: PointStatus, now: number): boolean {
  return objective === undefined || (newest !== undefined && now - newest.time <= objective);
}

function configuration({ configFile }: Sources): Concern[] {
  const { error } = configFile;
  const trouble = error === undefined ? undefined : `the file isn't in force, the one before is: ${error.message}`;
  return [{ subject: { kind: "configuration" }, event: "failure", trouble }];
}

function captures({ failures }: Sources, points: readonly PointStatus[]): Concern[] {
  return points
    .filter(({ location }) => location === primaryName)
    .map(({ policy, source, newest }) =>
      inARow({ kind: "capture", policy, source }, failures.captures(policy, source, newest?.time)),
    );
}

/** What could not be locked, and damage below, are subjects of their own: work that fails, and was told, hides neither, nor they it. */
function replications(sources: Sources): Concern[] {
  return policiesAtReplicas(sources).flatMap(({ policy, location, from, unlocked = 0 }): Concern[] => {
    const subject: Subject = { kind: "replication", policy, location };
    const row = sources.failures.replications(policy, location);
    const trouble = row.count > 0 ? undefined : standstill(sources, { policy, location, from });
    return [
      trouble === undefined ? inARow(subject, row) : { subject, event: "failure", trouble },
      counted(
        { kind: "lock", policy, location },
        "some recovery points aren't locked for long enough; points",
        unlocked,
      ),
    ];
  });
}

/** So long may a location not answer while a replication is under way there, in ms: an interruption is no failure. */
const silence = 10 * minute;

/** A replication may hang for ever, as where a network mount's server is gone: then neither it fails, nor any that is left to it. */
function standstill(
  { board, monitor, clock }: Sources,
  { policy, location, from }: { readonly policy: string; readonly location: string; readonly from: string },
): string | undefined {
  const task = board.status.find(
    (one) => one.stage === "replication" && one.policy === policy && one.location === location,
  );
  // One that moves may be what keeps the location from answering.
  if (task?.started === undefined || task.rate !== undefined) return undefined;
  const { started } = task;
  const silent = [location, from]
    .map((name) => monitor.watch(name))
    .find(
      (watch) => watch?.error !== undefined && clock.now() - Math.max(started, watch.known?.checked ?? 0) >= silence,
    );
  return silent?.error && `it stands still: ${silent.error.message.replace(/\.$/, "")}`;
}

/** For how long a sign of others is told to whom it wasn't told yet, since it was seen last. In ms. */
const signsLast = 7 * 24 * 60 * 60_000;

const kindsOfSigns = { points_deleted: "deletion", replica_shared: "sharing" } as const;

/** Told even when no later replication sees it any more, and never taken back: that is no evidence that all is well. */
function signs({ failures, clock, ...sources }: Sources): Concern[] {
  return policiesAtReplicas(sources).flatMap(({ policy, location }) =>
    signsOfOthers.flatMap((code): Concern[] => {
      const sign = failures.sign(policy, location, code);
      if (sign === undefined || clock.now() - sign.last > signsLast) return [];
      const { since, message } = sign;
      const subject: Subject = { kind: kindsOfSigns[code], policy, location };
      return [{ subject, event: "failure", trouble: message.replace(/\.$/, ""), since }];
    }),
  );
}

function maintained({ configFile: { config }, maintenance: { records }, monitor }: Sources): Concern[] {
  const swept = new Set(sweptLocations(config));
  return monitor.watches.flatMap(({ location }) => {
    const { sweepFailures = 0, sweepError, checkFailures = 0, checkError, findings = 0 } = records.at(location);
    return [
      ...(swept.has(location)
        ? [inARow({ kind: "sweep", location }, { count: sweepFailures, message: sweepError })]
        : []),
      inARow({ kind: "check", location }, { count: checkFailures, message: checkError }),
      counted({ kind: "damage", location }, "a check found it; findings", findings),
    ];
  });
}

/** A source that is being captured for the first time has missed nothing yet. */
function objectives({ clock, jobs }: Sources, points: readonly PointStatus[]): Concern[] {
  const now = clock.now();
  return points.flatMap((point): Concern[] => {
    const { policy, source, location, newest, objective } = point;
    if (objective === undefined) return [];
    const met = isMet(point, now) || (newest === undefined && jobs.isRunning(policy));
    const trouble = `missed: ${newest === undefined ? "it has no recovery point" : `its newest recovery point is ${roundly(now - newest.time)} old`}, and ${formatDuration(objective)} is promised`;
    const subject = { kind: "objective", policy, source, location } as const;
    return [{ subject, event: "objective_missed", trouble: met ? undefined : trouble }];
  });
}

function counted(subject: Subject, what: string, count: number): Concern {
  return { subject, event: "failure", trouble: count === 0 ? undefined : `${what}: ${String(count)}` };
}

function inARow(subject: Subject, { count, message }: Pick<Failures, "count" | "message">): Concern {
  if (count === 0) return { subject, event: "failure", trouble: undefined };
  const row = count === 1 ? "failed" : `failed ${String(count)} times in a row`;
  return { subject, event: "failure", trouble: message === undefined ? row : `${row}: ${message.replace(/\.$/, "")}` };
}

/** To the minute, from the first on. */
function roundly(ms: number): string {
  return formatDuration(ms < minute ? Math.floor(ms / 1000) * 1000 : Math.floor(ms / minute) * minute);
}
