/** All hosts at a glance: is every objective met, and if not, where to look. */
import { GraphThresholdsStyleConfigBuilder, GraphThresholdsStyleMode } from "@grafana/grafana-foundation-sdk/common";
import { RowBuilder } from "@grafana/grafana-foundation-sdk/dashboard";
import { PanelBuilder as TableBuilder } from "@grafana/grafana-foundation-sdk/table";
import { choice, dashboard, datasource, goodIsZero, graph, stat, steps, tableTarget, uids } from "./parts.ts";

const here = 'instance=~"$instance"';

export function fleet() {
  return dashboard(
    "Stillpoint: fleet",
    uids.fleet,
    "Every host, source and location: ages against objectives, and what is wrong.",
  )
    .withVariable(choice("instance", "Host", "stillpoint_build_info").multi(true).includeAll(true))
    .withRow(new RowBuilder("Now"))
    .withPanel(
      wrong(
        "Objectives missed",
        "Sources at a location whose newest recovery point is too old.",
        `count(stillpoint_recovery_point_objective_met{${here}} == 0)`,
      ),
    )
    .withPanel(
      wrong(
        "Never captured",
        "Sources without any recovery point at the primary.",
        `count(stillpoint_recovery_point_age_seconds{${here},location="primary"} == +Inf)`,
      ),
    )
    .withPanel(
      wrong(
        "Captures failing",
        "Sources whose last capture failed.",
        `count(stillpoint_capture_consecutive_failures{${here}} > 0)`,
      ),
    )
    .withPanel(
      wrong(
        "Locations away",
        "Primaries and replicas that didn't answer last time.",
        `count(stillpoint_location_reachable{${here}} == 0)`,
      ),
    )
    .withPanel(wrong("Damage", "What the last checks found.", `sum(stillpoint_check_findings{${here}})`))
    .withPanel(
      wrong(
        "Configurations refused",
        "Hosts whose configuration file isn't in force.",
        `count(stillpoint_config_last_reload_successful{${here}} == 0)`,
      ),
    )
    .withRow(new RowBuilder("Recovery points"))
    .withPanel(agesTable())
    .withPanel(shareOfObjective())
    .withRow(new RowBuilder("Locations"))
    .withPanel(
      graph(
        { title: "Free space", description: "What can still be written to the file system.", unit: "bytes", across: 4 },
        { expr: `stillpoint_location_free_bytes{${here}}`, legend: "{{instance}} {{location}}" },
      ),
    )
    .withPanel(
      graph(
        { title: "Repository size", description: "All packs at the location.", unit: "bytes", across: 4 },
        { expr: `stillpoint_repository_size_bytes{${here}}`, legend: "{{instance}} {{location}}" },
      ),
    )
    .withPanel(
      graph(
        {
          title: "Replica backlog",
          description: "Recovery points that a replica still lacks.",
          unit: "short",
          across: 4,
        },
        {
          expr: `sum by (instance, location) (stillpoint_replication_backlog_points{${here}})`,
          legend: "{{instance}} {{location}}",
        },
      ),
    )
    .withPanel(
      graph(
        {
          title: "Not locked",
          description: "Recovery points that a replica with locks could not lock for as long as they are to be.",
          unit: "short",
          across: 4,
        },
        {
          expr: `sum by (instance, location) (stillpoint_replication_unlocked_points{${here}})`,
          legend: "{{instance}} {{location}}",
        },
      ),
    )
    .withRow(new RowBuilder("Work"))
    .withPanel(
      graph(
        {
          title: "Captures",
          description: "Captures that ended in the last hour, by outcome.",
          unit: "short",
          across: 3,
        },
        { expr: `sum by (outcome) (increase(stillpoint_captures_total{${here}}[1h]))`, legend: "{{outcome}}" },
      ),
    )
    .withPanel(
      graph(
        {
          title: "Sent to replicas",
          description: "Bytes a second, counted when a replication ends.",
          unit: "Bps",
          across: 3,
        },
        {
          expr: `sum by (instance, location) (rate(stillpoint_replication_sent_bytes_total{${here}}[1h]))`,
          legend: "{{instance}} {{location}}",
        },
      ),
    )
    .withPanel(
      graph(
        {
          title: "Clock against Prometheus",
          description: "How far the host's clock is ahead or behind.",
          unit: "s",
          across: 3,
        },
        {
          expr: `abs(stillpoint_clock_timestamp_seconds{${here}} - timestamp(stillpoint_clock_timestamp_seconds{${here}}))`,
          legend: "{{instance}}",
        },
      ),
    )
    .build();
}

/** A number that should be zero; when there is nothing to count, it is. */
function wrong(title: string, description: string, expr: string) {
  return stat({ title, description, unit: "short", across: 6 }, { expr: `${expr} or vector(0)` }).thresholds(
    goodIsZero,
  );
}

/** One line for each source at each location; a click leads to the source. */
function agesTable() {
  const link = `/d/${uids.source}?var-datasource=$datasource&var-instance=\${__data.fields.instance}&var-policy=\${__data.fields.policy}&var-source=\${__data.fields.source}`;
  const hidden = { id: "custom.hidden", value: true };
  const named = (name: string, unit: string) => [
    { id: "displayName", value: name },
    { id: "unit", value: unit },
  ];
  return new TableBuilder()
    .title("Every source, everywhere")
    .description("Ages of the newest recovery point and of the newest verified one, with the objective.")
    .datasource(datasource)
    .span(14)
    .height(12)
    .withTarget(tableTarget("met", `stillpoint_recovery_point_objective_met{${here}}`))
    .withTarget(tableTarget("age", `stillpoint_recovery_point_age_seconds{${here}}`))
    .withTarget(tableTarget("objective", `stillpoint_recovery_point_objective_seconds{${here}}`))
    .withTarget(tableTarget("verified", `stillpoint_verified_recovery_point_age_seconds{${here}}`))
    .withTarget(tableTarget("size", `stillpoint_recovery_point_size_bytes{${here}}`))
    .withTransformation({ id: "merge", options: {} })
    .overrideByRegexp("^(Time|__name__|job)$", [hidden])
    .overrideByName("source", [{ id: "links", value: [{ title: "This source", url: link }] }])
    .overrideByName("Value #met", [
      ...named("objective met", "bool_yes_no"),
      { id: "custom.cellOptions", value: { type: "color-text" } },
      { id: "thresholds", value: steps("red", [1, "green"]).build() },
    ])
    .overrideByName("Value #age", named("age", "s"))
    .overrideByName("Value #objective", named("objective", "s"))
    .overrideByName("Value #verified", named("verified", "s"))
    .overrideByName("Value #size", named("protected", "bytes"));
}

function shareOfObjective() {
  const age = `stillpoint_recovery_point_age_seconds{${here}} / stillpoint_recovery_point_objective_seconds{${here}}`;
  return graph(
    {
      title: "Age, as a share of the objective",
      description: "Above 100 % the objective is missed.",
      unit: "percentunit",
      across: 2,
    },
    { expr: age, legend: "{{instance}} {{source}} {{location}}" },
  )
    .span(10)
    .height(12)
    .thresholds(steps("green", [1, "red"]))
    .thresholdsStyle(new GraphThresholdsStyleConfigBuilder().mode(GraphThresholdsStyleMode.Line));
}
