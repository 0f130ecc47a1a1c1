/** One source under one policy in depth: how its points age, what its captures cost, and where it is. */
import { DashboardLinkBuilder, RowBuilder } from "@grafana/grafana-foundation-sdk/dashboard";
import { choice, dashboard, goodIsZero, graph, stat, uids } from "./parts.ts";

const host = 'instance="$instance"';
const source = `${host},policy="$policy",source="$source"`;
const atPrimary = `${source},location="primary"`;
const policy = `${host},policy="$policy"`;

export function oneSource() {
  return dashboard(
    "Stillpoint: one source",
    uids.source,
    "One source in depth: ages, verification, captures, replicas.",
  )
    .withVariable(choice("instance", "Host", "stillpoint_build_info"))
    .withVariable(choice("policy", "Policy", `stillpoint_recovery_point_age_seconds{${host}}`))
    .withVariable(choice("source", "Source", `stillpoint_recovery_point_age_seconds{${policy}}`))
    .link(new DashboardLinkBuilder("Fleet").url(`/d/${uids.fleet}?var-datasource=$datasource`).keepTime(true))
    .withRow(new RowBuilder("Now"))
    .withPanel(
      number(
        "Age",
        "Of the newest recovery point at the primary.",
        "s",
        `stillpoint_recovery_point_age_seconds{${atPrimary}}`,
      ),
    )
    .withPanel(
      number(
        "Verified",
        "Age of the newest verified point at the primary.",
        "s",
        `stillpoint_verified_recovery_point_age_seconds{${atPrimary}}`,
      ),
    )
    .withPanel(
      number(
        "Next run",
        "When the policy starts next.",
        "dateTimeFromNow",
        `stillpoint_policy_next_run_timestamp_seconds{${policy}} * 1000`,
      ),
    )
    .withPanel(
      number(
        "Protected",
        "What the newest point holds.",
        "bytes",
        `stillpoint_recovery_point_size_bytes{${atPrimary}}`,
      ),
    )
    .withPanel(
      number(
        "Failures in a row",
        "Captures since the last point.",
        "short",
        `stillpoint_capture_consecutive_failures{${source}}`,
      ).thresholds(goodIsZero),
    )
    .withPanel(
      number(
        "Left out",
        "Entries that the newest point lacks.",
        "short",
        `stillpoint_recovery_point_left_out{${atPrimary}}`,
      ).thresholds(goodIsZero),
    )
    .withRow(new RowBuilder("Age"))
    .withPanel(
      graph(
        {
          title: "Age against objective",
          description: "Of the newest recovery point at each location.",
          unit: "s",
          across: 2,
        },
        { expr: `stillpoint_recovery_point_age_seconds{${source}}`, legend: "{{location}}" },
        { expr: `stillpoint_recovery_point_objective_seconds{${source}}`, legend: "objective, {{location}}" },
      ),
    )
    .withPanel(
      graph(
        {
          title: "Age of the newest verified point",
          description: "Read in full, or tried out, and found good.",
          unit: "s",
          across: 2,
        },
        { expr: `stillpoint_verified_recovery_point_age_seconds{${source}}`, legend: "{{location}}" },
      ),
    )
    .withRow(new RowBuilder("Captures"))
    .withPanel(
      graph(
        {
          title: "Size",
          description: "What the newest point holds, and what it added to the repository.",
          unit: "bytes",
          across: 3,
        },
        { expr: `stillpoint_recovery_point_size_bytes{${atPrimary}}`, legend: "protected" },
        { expr: `stillpoint_recovery_point_stored_bytes{${atPrimary}}`, legend: "added" },
      ),
    )
    .withPanel(
      graph(
        {
          title: "Time",
          description: "How long the newest capture took, and how late the policy's job began.",
          unit: "s",
          across: 3,
        },
        { expr: `stillpoint_recovery_point_capture_seconds{${atPrimary}}`, legend: "capture" },
        { expr: `stillpoint_schedule_lag_seconds{${policy}}`, legend: "late" },
      ),
    )
    .withPanel(
      graph(
        { title: "Outcomes", description: "Captures that ended in the last hour.", unit: "short", across: 3 },
        { expr: `sum by (outcome) (increase(stillpoint_captures_total{${source}}[1h]))`, legend: "{{outcome}}" },
      ),
    )
    .withPanel(
      graph(
        {
          title: "Read and stored",
          description: "Bytes a second, counted when a capture ends.",
          unit: "Bps",
          across: 3,
        },
        { expr: `rate(stillpoint_capture_read_bytes_total{${source}}[1h])`, legend: "read" },
        { expr: `rate(stillpoint_capture_stored_bytes_total{${source}}[1h])`, legend: "stored" },
      ),
    )
    .withPanel(
      graph(
        { title: "Recovery points", description: "How many there are at each location.", unit: "short", across: 3 },
        { expr: `stillpoint_recovery_points{${host},source="$source"}`, legend: "{{location}}" },
      ),
    )
    .withPanel(
      graph(
        {
          title: "Forgotten",
          description: "Points of the policy that prunes forgot in the last day, and those a replica lacked.",
          unit: "short",
          across: 3,
        },
        { expr: `sum by (location) (increase(stillpoint_pruned_points_total{${policy}}[1d]))`, legend: "{{location}}" },
        {
          expr: `sum by (location) (increase(stillpoint_given_up_points_total{${policy}}[1d]))`,
          legend: "given up, {{location}}",
        },
      ),
    )
    .withRow(new RowBuilder("Virtual machine"))
    .withPanel(
      graph(
        {
          title: "Pause",
          description:
            "How long the guest stood still in the captures of the last day: half of them less, and nearly all.",
          unit: "s",
          across: 1,
        },
        { expr: pauseQuantile(0.5), legend: "half" },
        { expr: pauseQuantile(0.95), legend: "95 %" },
      ),
    )
    .withRow(new RowBuilder("Replicas of the policy"))
    .withPanel(
      graph(
        {
          title: "Backlog",
          description: "Recovery points of the policy that a replica still lacks.",
          unit: "short",
          across: 3,
        },
        { expr: `stillpoint_replication_backlog_points{${policy}}`, legend: "{{location}}" },
      ),
    )
    .withPanel(
      graph(
        { title: "Backlog in bytes", description: "About what they will take.", unit: "bytes", across: 3 },
        { expr: `stillpoint_replication_backlog_bytes{${policy}}`, legend: "{{location}}" },
      ),
    )
    .withPanel(
      graph(
        {
          title: "Not locked",
          description:
            "Recovery points of the policy that the last replication could not lock for as long as its `lock` says.",
          unit: "short",
          across: 3,
        },
        { expr: `stillpoint_replication_unlocked_points{${policy}}`, legend: "{{location}}" },
      ),
    )
    .build();
}

function number(title: string, description: string, unit: string, expr: string) {
  return stat({ title, description, unit, across: 6 }, { expr });
}

function pauseQuantile(quantile: number): string {
  const buckets = `increase(stillpoint_capture_pause_seconds_bucket{${source}}[1d])`;
  return `histogram_quantile(${String(quantile)}, sum by (le) (${buckets}))`;
}
