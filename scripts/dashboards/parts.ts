/** What both dashboards are made of, on top of Grafana's builders. */
import type { Builder } from "@grafana/grafana-foundation-sdk/cog";
import {
  BigValueColorMode,
  BigValueGraphMode,
  type DataSourceRef,
  LegendDisplayMode,
  LegendPlacement,
  TooltipDisplayMode,
  VizLegendOptionsBuilder,
  VizTooltipOptionsBuilder,
} from "@grafana/grafana-foundation-sdk/common";
import {
  DashboardBuilder,
  DashboardCursorSync,
  DatasourceVariableBuilder,
  QueryVariableBuilder,
  type ThresholdsConfig,
  ThresholdsConfigBuilder,
  ThresholdsMode,
  VariableRefresh,
} from "@grafana/grafana-foundation-sdk/dashboard";
import { DataqueryBuilder, PromQueryFormat } from "@grafana/grafana-foundation-sdk/prometheus";
import { PanelBuilder as StatBuilder } from "@grafana/grafana-foundation-sdk/stat";
import { PanelBuilder as TimeSeriesBuilder } from "@grafana/grafana-foundation-sdk/timeseries";

export const datasource: DataSourceRef = { type: "prometheus", uid: "$datasource" };

/** The width of a dashboard in Grafana's grid. */
const fullWidth = 24;

export interface Query {
  readonly expr: string;
  readonly legend?: string;
}

/** Both dashboards know each other by these. */
export const uids = { fleet: "stillpoint-fleet", source: "stillpoint-source" } as const;

/** In the model that every Grafana imports; the one that its makers prefer by now needs Grafana 12. */
export function dashboard(title: string, uid: string, description: string) {
  // oxlint-disable-next-line typescript/no-deprecated
  return new DashboardBuilder(title)
    .uid(uid)
    .description(description)
    .tags(["stillpoint"])
    .time({ from: "now-24h", to: "now" })
    .timezone("browser")
    .refresh("1m")
    .readonly()
    .tooltip(DashboardCursorSync.Crosshair)
    .withVariable(new DatasourceVariableBuilder("datasource").label("Data source").type("prometheus"));
}

/** A choice among the values of a label. */
export function choice(name: string, label: string, metric: string): QueryVariableBuilder {
  return new QueryVariableBuilder(name)
    .label(label)
    .datasource(datasource)
    .query(`label_values(${metric}, ${name})`)
    .refresh(VariableRefresh.OnTimeRangeChanged);
}

function target({ expr, legend = "" }: Query): DataqueryBuilder {
  return new DataqueryBuilder().expr(expr).legendFormat(legend).range();
}

export function tableTarget(refId: string, expr: string): DataqueryBuilder {
  return new DataqueryBuilder().refId(refId).expr(expr).format(PromQueryFormat.Table).instant();
}

/** Colours by value: the first from the bottom up, each further one from its value on. */
export function steps(
  first: string,
  ...further: (readonly [value: number, color: string])[]
): Builder<ThresholdsConfig> {
  const others = further.map(([value, color]) => ({ value, color }));
  return new ThresholdsConfigBuilder().mode(ThresholdsMode.Absolute).steps([{ value: null, color: first }, ...others]);
}

export const goodIsZero = steps("green", [1, "red"]);

export interface PanelOptions {
  readonly title: string;
  readonly description: string;
  readonly unit: string;
  /** How many such panels are side by side. */
  readonly across: number;
}

/** One number, and how it came to be. */
export function stat({ title, description, unit, across }: PanelOptions, query: Query): StatBuilder {
  return new StatBuilder()
    .title(title)
    .description(description)
    .datasource(datasource)
    .unit(unit)
    .span(fullWidth / across)
    .height(4)
    .colorMode(BigValueColorMode.Value)
    .graphMode(BigValueGraphMode.None)
    .withTarget(target(query));
}

/** Values over time, with the last and the greatest of each in the legend. */
export function graph(
  { title, description, unit, across }: PanelOptions,
  ...queries: readonly Query[]
): TimeSeriesBuilder {
  const legend = new VizLegendOptionsBuilder()
    .showLegend(true)
    .displayMode(LegendDisplayMode.Table)
    .placement(LegendPlacement.Bottom)
    .calcs(["lastNotNull", "max"]);
  return new TimeSeriesBuilder()
    .title(title)
    .description(description)
    .datasource(datasource)
    .unit(unit)
    .min(0)
    .span(fullWidth / across)
    .height(8)
    .lineWidth(2)
    .legend(legend)
    .tooltip(new VizTooltipOptionsBuilder().mode(TooltipDisplayMode.Multi))
    .targets(queries.map(target));
}
