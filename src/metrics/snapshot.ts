/** What the gauges say at one moment. */
import type { Samples } from "./samples.ts";

/** All times in ms since the epoch, as everywhere; the metrics are in seconds. */
export interface Snapshot {
  readonly now: number;
  readonly version: string;
  readonly series: readonly SeriesState[];
  readonly locations: readonly LocationState[];
  readonly backlogs: readonly BacklogState[];
  readonly captures: readonly CaptureState[];
  readonly replications: readonly ReplicationState[];
  readonly prunes: readonly PolicyAtState[];
  /** When the next sweep starts. */
  readonly nextSweep: number | undefined;
  readonly policies: readonly PolicyState[];
  readonly notifications: readonly NotificationState[];
  readonly config: { readonly current: boolean; readonly loaded: number };
  readonly process: { readonly started: number; readonly residentBytes: number };
}

/** What is known of a source's points under a policy at a location. */
export interface SeriesState {
  readonly policy: string;
  readonly source: string;
  readonly location: string;
  readonly newest: NewestPoint | undefined;
  /** Instant of the newest verified point. */
  readonly verified: number | undefined;
  /** In ms. */
  readonly objective: number | undefined;
}

export interface NewestPoint {
  readonly time: number;
  readonly size: number;
  readonly stored: number;
  readonly leftOut: number;
  /** In ms. */
  readonly duration: number;
}

export interface LocationState {
  readonly location: string;
  readonly reachable: boolean;
  readonly checked: number | undefined;
  readonly freeBytes: number | undefined;
  readonly sizeBytes: number | undefined;
  readonly points: readonly { readonly source: string; readonly count: number }[];
  /** How many points are dated in the future. */
  readonly inFuture: number | undefined;
  readonly lastSweep: number | undefined;
  /** How many sweeps have failed since. */
  readonly sweepFailures: number;
  /** How many checks in a row could not be done. */
  readonly checkFailures: number;
  /** Since when checks have read every byte. */
  readonly allRead: number | undefined;
  readonly lastCheck: number | undefined;
  readonly findings: number | undefined;
}

export interface BacklogState {
  readonly policy: string;
  readonly location: string;
  readonly points: number;
  readonly bytes: number;
}

/** `failures` are those in a row, up to now. */
export interface CaptureState {
  readonly policy: string;
  readonly source: string;
  readonly failures: number;
}

/** Replications, or prunes, of a policy at a location. */
export interface PolicyAtState {
  readonly policy: string;
  readonly location: string;
  readonly failures: number;
}

export interface ReplicationState extends PolicyAtState {
  /** Points that the last replication could not lock. */
  readonly unlocked: number | undefined;
  /** When somebody else was last seen at work at the replica. */
  readonly interference: number | undefined;
}

export interface PolicyState {
  readonly policy: string;
  readonly running: boolean;
  readonly nextRun: number | undefined;
  readonly lag: number | undefined;
}

export interface NotificationState {
  readonly channel: string;
  /** In a row, up to now. */
  readonly failures: number;
  /** When one was delivered last. */
  readonly succeeded: number | undefined;
}

export function setGauges(samples: Samples, snapshot: Snapshot): void {
  for (const series of snapshot.series) setSeries(samples, series, snapshot.now);
  for (const location of snapshot.locations) setLocation(samples, location);
  for (const { policy, location, points, bytes } of snapshot.backlogs) {
    samples.set("stillpoint_replication_backlog_points", { policy, location }, points);
    samples.set("stillpoint_replication_backlog_bytes", { policy, location }, bytes);
  }
  for (const { policy, source, failures } of snapshot.captures) {
    samples.set("stillpoint_capture_consecutive_failures", { policy, source }, failures);
  }
  for (const { policy, location, failures, unlocked, interference } of snapshot.replications) {
    samples.set("stillpoint_replication_consecutive_failures", { policy, location }, failures);
    samples.set("stillpoint_replication_unlocked_points", { policy, location }, unlocked);
    samples.set("stillpoint_replica_interference_timestamp_seconds", { policy, location }, seconds(interference));
  }
  for (const { policy, location, failures } of snapshot.prunes) {
    samples.set("stillpoint_prune_consecutive_failures", { policy, location }, failures);
  }
  samples.set("stillpoint_sweep_next_run_timestamp_seconds", {}, seconds(snapshot.nextSweep));
  for (const { policy, running, nextRun, lag } of snapshot.policies) {
    samples.set("stillpoint_policy_running", { policy }, Number(running));
    samples.set("stillpoint_policy_next_run_timestamp_seconds", { policy }, seconds(nextRun));
    samples.set("stillpoint_schedule_lag_seconds", { policy }, seconds(lag));
  }
  for (const { channel, failures, succeeded } of snapshot.notifications) {
    samples.set("stillpoint_notification_consecutive_failures", { channel }, failures);
    samples.set("stillpoint_notification_last_success_timestamp_seconds", { channel }, seconds(succeeded));
  }
  const { config, process: own, version } = snapshot;
  samples.set("stillpoint_config_last_reload_successful", {}, Number(config.current));
  samples.set("stillpoint_config_last_reload_success_timestamp_seconds", {}, seconds(config.loaded));
  samples.set("stillpoint_clock_timestamp_seconds", {}, seconds(snapshot.now));
  samples.set("stillpoint_build_info", { version, node: process.versions.node }, 1);
  samples.set("process_start_time_seconds", {}, seconds(own.started));
  samples.set("process_resident_memory_bytes", {}, own.residentBytes);
}

function setSeries(samples: Samples, series: SeriesState, now: number): void {
  const { policy, source, location, newest, verified, objective } = series;
  const labels = { policy, source, location };
  const age = ageOf(newest?.time, now);
  samples.set("stillpoint_recovery_point_age_seconds", labels, seconds(age));
  samples.set("stillpoint_verified_recovery_point_age_seconds", labels, seconds(ageOf(verified, now)));
  samples.set("stillpoint_recovery_point_objective_seconds", labels, seconds(objective));
  if (objective !== undefined) {
    samples.set("stillpoint_recovery_point_objective_met", labels, Number(age <= objective));
  }
  if (newest === undefined) return;
  samples.set("stillpoint_recovery_point_timestamp_seconds", labels, seconds(newest.time));
  samples.set("stillpoint_recovery_point_size_bytes", labels, newest.size);
  samples.set("stillpoint_recovery_point_stored_bytes", labels, newest.stored);
  samples.set("stillpoint_recovery_point_left_out", labels, newest.leftOut);
  samples.set("stillpoint_recovery_point_capture_seconds", labels, seconds(newest.duration));
}

function setLocation(samples: Samples, state: LocationState): void {
  const { location } = state;
  samples.set("stillpoint_location_reachable", { location }, Number(state.reachable));
  samples.set("stillpoint_location_checked_timestamp_seconds", { location }, seconds(state.checked));
  samples.set("stillpoint_location_free_bytes", { location }, state.freeBytes);
  samples.set("stillpoint_repository_size_bytes", { location }, state.sizeBytes);
  samples.set("stillpoint_sweep_last_success_timestamp_seconds", { location }, seconds(state.lastSweep));
  samples.set("stillpoint_sweep_consecutive_failures", { location }, state.sweepFailures);
  samples.set("stillpoint_recovery_points_in_future", { location }, state.inFuture);
  samples.set("stillpoint_check_last_success_timestamp_seconds", { location }, seconds(state.lastCheck));
  samples.set("stillpoint_check_consecutive_failures", { location }, state.checkFailures);
  samples.set("stillpoint_check_all_read_timestamp_seconds", { location }, seconds(state.allRead));
  samples.set("stillpoint_check_findings", { location }, state.findings);
  for (const { source, count } of state.points) samples.set("stillpoint_recovery_points", { source, location }, count);
}

/** A clock that was set back since makes no negative ages. */
function ageOf(time: number | undefined, now: number): number {
  return time === undefined ? Number.POSITIVE_INFINITY : Math.max(0, now - time);
}

function seconds(ms: number): number;
function seconds(ms: number | undefined): number | undefined;
function seconds(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : ms / 1000;
}
