import { readFileSync } from "node:fs";
import * as z from "zod";

/** What a dashboard asks Prometheus; of a variable, the expression in `label_values`. */
export interface DashboardQuery {
  readonly panel: string;
  readonly expr: string;
  readonly legend: string;
}

const panel = z.object({
  title: z.string(),
  type: z.string(),
  targets: z.array(z.object({ expr: z.string(), legendFormat: z.string().default("") })).default([]),
});

const dashboard = z.object({
  panels: z.array(panel.extend({ panels: z.array(panel).default([]) })),
  templating: z.object({ list: z.array(z.object({ type: z.string(), name: z.string(), query: z.string() })) }),
});

export function dashboardQueries(file: string): DashboardQuery[] {
  const { panels, templating } = dashboard.parse(JSON.parse(readFileSync(file, "utf8")));
  const all = panels.flatMap((one) => [one, ...one.panels]).filter(({ type }) => type !== "row");
  const silent = all.find(({ targets }) => targets.length === 0);
  if (silent !== undefined) throw new Error(`${silent.title} asks for nothing`);
  return [
    ...all.flatMap(({ title, targets }) =>
      targets.map(({ expr, legendFormat }) => ({ panel: title, expr, legend: legendFormat })),
    ),
    ...templating.list.filter(({ type }) => type === "query").map(variableQuery),
  ];
}

function variableQuery({ name, query }: { name: string; query: string }): DashboardQuery {
  const [, expr, label] = /^label_values\((.*), (\w+)\)$/.exec(query) ?? [];
  if (expr === undefined || label === undefined) throw new Error(`${name} isn't filled by label_values: ${query}`);
  return { panel: `the variable ${name}`, expr, legend: `{{${label}}}` };
}

/** With each variable replaced by what a user may choose. */
export function withoutVariables(expr: string, values: Readonly<Record<string, string>> = {}): string {
  return expr
    .replaceAll(/\$__(rate_)?(interval|range)/g, "5m")
    .replaceAll(/\$(\w+)/g, (_, name: string) => values[name] ?? ".*");
}
