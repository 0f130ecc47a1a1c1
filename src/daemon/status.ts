/** What the daemon knows, gathered for whoever asks: the control socket, the metrics, the page. */
import { hostname } from "node:os";
import type { Clock } from "../host/clock.ts";
import { primaryName, prunedLocations, sweptLocations } from "../job/locations.ts";
import type { Snapshot } from "../metrics/snapshot.ts";
import { channelsOf } from "../notify/deliver.ts";
import type { Config, Policy } from "../policy/config.ts";
import type { ConfigFile } from "./config-file.ts";
import type {
  DaemonStatus,
  LocationStatus,
  NotificationStatus,
  PointStatus,
  PolicyStatus,
  ReplicationStatus,
} from "./control-protocol.ts";
import type { Failure, FailureLog } from "./failure-log.ts";
import type { FailureRecords } from "./failure-records.ts";
import type { JobRunner } from "./job-runner.ts";
import { newestOf, seriesOf } from "./known-location.ts";
import type { Maintenance } from "./maintenance.ts";
import type { Task } from "./maintenance-records.ts";
import type { Notifications } from "./notifications.ts";
import type { Monitor } from "./monitor.ts";
import type { WorkBoard } from "./work-board.ts";

export interface StatusSources {
  readonly configFile: ConfigFile;
  readonly jobs: JobRunner;
  readonly failures: FailureRecords;
  readonly failureLog: FailureLog;
  readonly board: WorkBoard;
  readonly maintenance: Maintenance;
  readonly monitor: Monitor;
  readonly notifications: Notifications;
  readonly clock: Clock;
  readonly version: string;
  /** When the process started. */
  readonly started: number;
  readonly nextRun: (policy: Policy) => number | undefined;
  readonly nextTask: (task: Task) => number | undefined;
  readonly address: () => string;
}

export function statusOf(sources: StatusSources): DaemonStatus {
  const { configFile, version, started, address } = sources;
  const { path: file, error, loaded } = configFile;
  const points = pointsOf(sources);
  return {
    version,
    host: hostname(),
    pid: process.pid,
    now: sources.clock.now(),
    started,
    address: address(),
    config: { file, current: error === undefined, loaded, error },
    notReady: whyNotReady(sources),
    work: sources.board.status,
    failures: failuresOf(sources, points),
    maintenance: { nextSweep: sources.nextTask("sweep"), nextCheck: sources.nextTask("check") },
    policies: policiesOf(sources),
    points,
    locations: locationsOf(sources),
    notifications: notificationsOf(sources),
  };
}

/** Ready: the configuration is in force, the primary can be read, and every replica has been tried. */
function whyNotReady({ configFile, monitor }: StatusSources): string[] {
  const why: string[] = [];
  if (configFile.error !== undefined) why.push(`The configuration isn't in force: ${configFile.error.message}`);
  for (const { location, reachable, error } of monitor.watches) {
    if (!reachable && error === undefined) why.push(`${location} has not been looked at yet.`);
    else if (!reachable && location === primaryName) why.push(`The primary can't be read: ${error?.message ?? ""}`);
  }
  return why;
}

/** Those of work that the configuration still has: no other ends any more. A point that somebody else has made since ends one, too. */
export function failuresOf(
  { configFile, failureLog }: Pick<StatusSources, "configFile" | "failureLog">,
  points: readonly PointStatus[],
): Failure[] {
  return failureLog.failures.filter(isConfigured(configFile.config)).map((failure) => {
    const { stage, policy, source, last, over } = failure;
    if (stage !== "capture" || over !== undefined) return failure;
    const since = points.find(
      (point) => point.policy === policy && point.source === source && point.location === primaryName,
    )?.newest?.time;
    return since !== undefined && since > last ? { ...failure, over: since } : failure;
  });
}

function isConfigured({ policies, replicas }: Config): (failure: Failure) => boolean {
  return ({ stage, policy: name, source, location }) => {
    const policy = policies.find((one) => one.name === name);
    switch (stage) {
      case "capture":
        return policy?.sources.some((one) => one.name === source) === true;
      case "replication":
        return policy?.replicate.some(({ replica }) => replica.name === location) === true;
      case "prune":
        return policy !== undefined && prunedLocations(policy).some((one) => one === location);
      case "sweep":
        return sweptLocations({ replicas }).some((one) => one === location);
      case "check":
        return location === primaryName || replicas.some((one) => one.name === location);
    }
  };
}

function policiesOf({ configFile, jobs, nextRun }: StatusSources): PolicyStatus[] {
  return configFile.config.policies.map((policy) => ({
    policy: policy.name,
    sources: policy.sources.map(({ name }) => name),
    running: jobs.isRunning(policy.name),
    nextRun: nextRun(policy),
    lag: jobs.lag(policy.name),
    lastJob: jobs.lastJob(policy.name),
  }));
}

export function pointsOf({ configFile, monitor }: Pick<StatusSources, "configFile" | "monitor">): PointStatus[] {
  const { policies } = configFile.config;
  return seriesOf(policies).map((series) => {
    const known = monitor.watch(series.location)?.known;
    return {
      policy: series.policy.name,
      source: series.source,
      location: series.location,
      newest: newestOf(known?.newest ?? [], series, policies),
      verified: newestOf(known?.verified ?? [], series, policies)?.time,
      objective: series.objective,
    };
  });
}

function locationsOf(sources: StatusSources): LocationStatus[] {
  const { maintenance, monitor } = sources;
  return monitor.watches.map(({ location, reachable, error, known }) => ({
    location,
    reachable,
    checked: known?.checked,
    error,
    points: known?.counts ?? [],
    sizeBytes: known?.sizeBytes,
    freeBytes: known?.freeBytes,
    lastSweep: maintenance.records.at(location).lastSweep,
    lastCheck: maintenance.records.at(location).lastCheck,
    findings: maintenance.records.at(location).findings,
    backlog: monitor.backlogs
      .filter((backlog) => backlog.location === location)
      .map(({ policy, points, bytes }) => ({ policy, points, bytes })),
    replications: policiesAtReplicas(sources)
      .filter((one) => one.location === location)
      .map(({ policy, from, unlocked }) => ({ policy, from, unlocked })),
  }));
}

function notificationsOf({ configFile, notifications }: StatusSources): NotificationStatus[] {
  return channelsOf(configFile.config.daemon.notify).map((channel) => {
    const { failures, succeeded, message } = notifications.records.at(channel);
    return { channel, failures, succeeded, error: failures === 0 ? undefined : message };
  });
}

export function snapshotOf(sources: StatusSources): Snapshot {
  const { failures, maintenance, monitor } = sources;
  const swept = new Set(sweptLocations(sources.configFile.config));
  const { version, started, policies, points, locations, notifications, config } = statusOf(sources);
  const atPrimary = points.filter(({ location }) => location === primaryName);
  return {
    now: sources.clock.now(),
    version,
    series: points,
    locations: locations.map((state) => ({
      ...state,
      inFuture: monitor.watch(state.location)?.known?.inFuture,
      sweepFailures: swept.has(state.location) ? (maintenance.records.at(state.location).sweepFailures ?? 0) : 0,
      checkFailures: maintenance.records.at(state.location).checkFailures ?? 0,
      allRead: maintenance.records.allRead(state.location),
    })),
    backlogs: monitor.backlogs,
    captures: atPrimary.map(({ policy, source, newest }) => ({
      policy,
      source,
      failures: failures.captures(policy, source, newest?.time).count,
    })),
    replications: policiesAtReplicas(sources).map(({ policy, location, unlocked }) => ({
      policy,
      location,
      failures: failures.replications(policy, location).count,
      unlocked,
      interference: failures.interference(policy, location),
    })),
    prunes: policiesAtLocations(sources).map(({ policy, location }) => ({
      policy,
      location,
      failures: failures.prunes(policy, location).count,
    })),
    nextSweep: sources.nextTask("sweep"),
    policies,
    notifications,
    config,
    process: { started, residentBytes: process.memoryUsage.rss() },
  };
}

interface PolicyAt {
  readonly policy: string;
  readonly location: string;
}

/** Each policy with every replica that it sends to. */
export function policiesAtReplicas({
  configFile,
  monitor,
}: Pick<StatusSources, "configFile" | "monitor">): (PolicyAt & ReplicationStatus)[] {
  return configFile.config.policies.flatMap(({ name: policy, replicate }) =>
    replicate.map(({ replica: { name: location }, from = primaryName, lock }) => {
      const unlocked = lock === undefined ? undefined : monitor.unlocked(policy, location);
      return { policy, location, from, unlocked };
    }),
  );
}

/** Each policy with every location that it prunes. */
export function policiesAtLocations({ configFile }: Pick<StatusSources, "configFile">): PolicyAt[] {
  return configFile.config.policies.flatMap((policy) =>
    prunedLocations(policy).map((location) => ({ policy: policy.name, location })),
  );
}
