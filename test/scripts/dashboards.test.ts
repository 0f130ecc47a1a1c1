import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { dashboardFiles } from "../../scripts/dashboards/dashboards.ts";
import { definitions } from "../../src/metrics/definitions.ts";
import { dashboardQueries, withoutVariables } from "../helpers/dashboard-queries.ts";
import { exportedMetrics } from "../helpers/exported-metrics.ts";
import { wrongNames } from "../helpers/promql.ts";
import { tempDir } from "../helpers/temp-dir.ts";

const folder = join(import.meta.dirname, "../../config/grafana");
const files = readdirSync(folder);
const queries = files.flatMap((file) => dashboardQueries(join(folder, file)));

describe("the dashboards", () => {
  it("are what the script makes: `npm run dashboards` writes them", () => {
    const committed = files.map((name): [string, string] => [name, readFileSync(join(folder, name), "utf8")]);
    expect(Object.fromEntries(committed)).toEqual(dashboardFiles());
  });

  it("ask for metrics and labels that are exported, and for nothing else", async () => {
    const exported = await exportedMetrics();
    expect(queries.length).toBeGreaterThan(25);
    for (const { panel, expr, legend } of queries) {
      expect([panel, wrongNames(withoutVariables(expr), exported, legend)]).toEqual([panel, []]);
    }
  });

  it("ask in a PromQL that Prometheus takes", async () => {
    const rules = queries.map(({ expr }, number) => ({
      record: `query:${String(number)}`,
      expr: withoutVariables(expr),
    }));
    const file = join(await tempDir(), "rules.yaml");
    writeFileSync(file, JSON.stringify({ groups: [{ name: "queries", rules }] }));
    const { status, stderr } = spawnSync("promtool", ["check", "rules", file], { encoding: "utf8" });
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  });
});

describe("the test of names", () => {
  it("sees what isn't exported: metrics, labels of selectors, of groupings and of legends", async () => {
    const exported = await exportedMetrics();
    const wrong = (expr: string, legend?: string): readonly string[] => wrongNames(expr, exported, legend);
    expect(wrong("stillpoint_age > 5")).toEqual(["no metric stillpoint_age"]);
    expect(wrong('stillpoint_jobs_total{policy="a",source="b"}')).toEqual([
      "stillpoint_jobs_total has no label source",
    ]);
    expect(wrong("sum by (source) (rate(stillpoint_jobs_total[5m]))")).toEqual(["no label source"]);
    expect(wrong("stillpoint_jobs_total", "{{instance}} {{ source }}")).toEqual(["no label source"]);
    expect(wrong('sum by (policy) (rate(stillpoint_jobs_total{outcome="x{y"}[5m])) or vector(+Inf)')).toEqual([]);
  });

  it("knows every metric that there is", async () => {
    const exported = [...(await exportedMetrics()).keys()];
    // A histogram is exported as three.
    const names = exported.filter((name) => !/_(bucket|sum)$/.test(name)).map((name) => name.replace(/_count$/, ""));
    expect(names.sort()).toEqual(Object.keys(definitions).sort());
  });
});
