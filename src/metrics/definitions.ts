/** Every metric that there is: its name, what it says, and its labels. docs/metrics.md is made from this table. */

export interface Definition {
  readonly type: "gauge" | "counter" | "histogram";
  readonly help: string;
  readonly labels: readonly string[];
}

function gauge<const L extends readonly string[]>(
  help: string,
  ...labels: L
): { type: "gauge"; help: string; labels: L } {
  return { type: "gauge", help, labels };
}

function counter<const L extends readonly string[]>(
  help: string,
  ...labels: L
): { type: "counter"; help: string; labels: L } {
  return { type: "counter", help, labels };
}

function histogram<const L extends readonly string[]>(
  help: string,
  ...labels: L
): { type: "histogram"; help: string; labels: L } {
  return { type: "histogram", help, labels };
}

const perSeries = ["policy", "source", "location"] as const;

/**
 * Labels have as many values as the configuration has names: `policy`, `source`, and `location`, which is `primary` or a replica's
 * name; `channel` is `webhook`, `email` or `ping`. `outcome` is `ok`, `partial`, `failed`, and for replications and prunes `deferred`.
 *
 * Gauges say what the repositories and the state folder say, so a restart changes nothing. Counters and histograms begin at 0 with the process, as
 * Prometheus expects of them.
 */
export const definitions = {
  stillpoint_recovery_point_age_seconds: gauge(
    "Age of the newest committed recovery point, counted from the instant captured; +Inf when there is none.",
    ...perSeries,
  ),
  stillpoint_recovery_point_timestamp_seconds: gauge("Instant of the newest recovery point.", ...perSeries),
  stillpoint_verified_recovery_point_age_seconds: gauge(
    "Age of the newest recovery point whose latest verification passed; +Inf when there is none.",
    ...perSeries,
  ),
  stillpoint_recovery_point_objective_seconds: gauge(
    "Age that the newest recovery point must not pass: the policy's rpo, at replicas its offsite_rpo.",
    ...perSeries,
  ),
  stillpoint_recovery_point_objective_met: gauge(
    "Whether the age is within the objective (1) or not (0).",
    ...perSeries,
  ),
  stillpoint_recovery_point_size_bytes: gauge("Bytes that the newest recovery point protects.", ...perSeries),
  stillpoint_recovery_point_stored_bytes: gauge(
    "Bytes that the newest recovery point added to the repository when it was captured.",
    ...perSeries,
  ),
  stillpoint_recovery_point_left_out: gauge("Entries that the newest recovery point had to leave out.", ...perSeries),
  stillpoint_recovery_point_capture_seconds: gauge(
    "How long the capture of the newest recovery point took.",
    ...perSeries,
  ),
  stillpoint_recovery_points: gauge("Recovery points of the source at the location.", "source", "location"),
  stillpoint_recovery_points_in_future: gauge(
    "Recovery points dated more than 5 minutes in the future, which are passed over; at a replica also those dated so much after it received them.",
    "location",
  ),
  stillpoint_capture_consecutive_failures: gauge(
    "Captures that failed since the last recovery point.",
    "policy",
    "source",
  ),
  stillpoint_replication_consecutive_failures: gauge(
    "Replications that failed, or could not send all, since the last one that could, also because the replica could not be reached; what was not locked, and what somebody else did there, have their own.",
    "policy",
    "location",
  ),
  stillpoint_replica_interference_timestamp_seconds: gauge(
    "When a replication of the policy last saw that somebody else had deleted recovery points at the replica, or wrote there as this host does; absent before the first time.",
    "policy",
    "location",
  ),
  stillpoint_prune_consecutive_failures: gauge(
    "Prunes that failed since the last one that succeeded, where the location could be reached.",
    "policy",
    "location",
  ),

  stillpoint_location_reachable: gauge(
    "Whether the location answered when it was last looked at (1) or not (0).",
    "location",
  ),
  stillpoint_location_checked_timestamp_seconds: gauge("When the location last answered.", "location"),
  stillpoint_location_free_bytes: gauge("Bytes that can still be written to the location's file system.", "location"),
  stillpoint_repository_size_bytes: gauge("Bytes of all packs at the location.", "location"),
  stillpoint_replication_backlog_points: gauge(
    "Recovery points of the policy that the replica still lacks.",
    "policy",
    "location",
  ),
  stillpoint_replication_backlog_bytes: gauge("About how many bytes they will take there.", "policy", "location"),
  stillpoint_replication_unlocked_points: gauge(
    "Recovery points of the policy that the last replication was to lock at the replica and could not lock for so long; only with `lock`.",
    "policy",
    "location",
  ),

  stillpoint_policy_running: gauge("Whether the policy's job is at work (1) or not (0).", "policy"),
  stillpoint_policy_next_run_timestamp_seconds: gauge(
    "When the policy's next job starts; in the past when it waits for something.",
    "policy",
  ),
  stillpoint_schedule_lag_seconds: gauge("How late the policy's last job started, in this process.", "policy"),
  stillpoint_sweep_last_success_timestamp_seconds: gauge("When the last sweep that succeeded ended.", "location"),
  stillpoint_sweep_consecutive_failures: gauge(
    "Sweeps that failed since the last one that succeeded, where the location could be reached.",
    "location",
  ),
  stillpoint_sweep_next_run_timestamp_seconds: gauge(
    "When the next sweep starts, of all locations; in the past when it waits for something.",
  ),
  stillpoint_check_last_success_timestamp_seconds: gauge("When the last check that found no damage ended.", "location"),
  stillpoint_check_consecutive_failures: gauge(
    "Checks that could not be done since the last one that was, where the location could be reached.",
    "location",
  ),
  stillpoint_check_all_read_timestamp_seconds: gauge(
    "Since when checks have read every stored byte, at once or in parts; before the first time, since when the location is known.",
    "location",
  ),
  stillpoint_check_findings: gauge(
    "Damage that the last check found, or one before it in what wasn't read again since.",
    "location",
  ),

  stillpoint_notification_consecutive_failures: gauge(
    "Deliveries of notifications that failed since the last one that came through.",
    "channel",
  ),
  stillpoint_notification_last_success_timestamp_seconds: gauge(
    "When a notification, or a ping, was delivered last.",
    "channel",
  ),

  stillpoint_config_last_reload_successful: gauge(
    "Whether the configuration file, as it is now, is the one in force (1) or not (0).",
  ),
  stillpoint_config_last_reload_success_timestamp_seconds: gauge("When the configuration in force was read."),
  stillpoint_clock_timestamp_seconds: gauge("What the host's clock says when it is scraped."),
  stillpoint_build_info: gauge("1, with the versions that run.", "version", "node"),
  process_start_time_seconds: gauge("When the process started."),
  process_resident_memory_bytes: gauge("Resident memory of the process."),

  stillpoint_jobs_total: counter("Jobs that ended.", "policy", "outcome"),
  stillpoint_captures_total: counter("Captures that ended.", "policy", "source", "outcome"),
  stillpoint_capture_read_bytes_total: counter("Bytes that captures read.", "policy", "source"),
  stillpoint_capture_stored_bytes_total: counter("Bytes that captures added to the repository.", "policy", "source"),
  stillpoint_capture_pause_seconds: histogram(
    "For how long virtual machines stood still for their captures.",
    "policy",
    "source",
  ),
  stillpoint_replications_total: counter("Replications that ended.", "policy", "location", "outcome"),
  stillpoint_replication_points_total: counter("Recovery points that replications committed.", "policy", "location"),
  stillpoint_replication_sent_bytes_total: counter("Bytes that replications sent.", "policy", "location"),
  stillpoint_prunes_total: counter("Prunes that ended.", "policy", "location", "outcome"),
  stillpoint_pruned_points_total: counter("Recovery points that prunes forgot.", "policy", "location"),
  stillpoint_given_up_points_total: counter(
    "Of the points that prunes forgot: those that a replica still lacked, given up at the policy's cap.",
    "policy",
    "location",
  ),
  stillpoint_sweeps_total: counter("Sweeps that ended.", "location", "outcome"),
  stillpoint_sweep_freed_bytes_total: counter("Bytes that sweeps freed.", "location"),
  stillpoint_checks_total: counter("Checks that ended; `failed` when damage was found too.", "location", "outcome"),
  stillpoint_notifications_total: counter("Deliveries of notifications, and pings, that ended.", "channel", "outcome"),
} as const satisfies Record<string, Definition>;

export type MetricName = keyof typeof definitions;
export type LabelsOf<N extends MetricName> = Readonly<Record<(typeof definitions)[N]["labels"][number], string>>;
