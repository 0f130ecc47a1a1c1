import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import * as z from "zod";
import { exportedMetrics } from "../helpers/exported-metrics.ts";
import { wrongNames } from "../helpers/promql.ts";

const project = join(import.meta.dirname, "../..");
const rulesFile = "config/prometheus/stillpoint.rules.yaml";
const testsFiles = ["test/config/stillpoint.rules.test.yaml", "test/config/stillpoint-days.rules.test.yaml"];

const rule = z.strictObject({
  alert: z.string(),
  expr: z.string(),
  for: z.string().optional(),
  labels: z.strictObject({ severity: z.enum(["critical", "warning"]) }),
  annotations: z.strictObject({ summary: z.string(), description: z.string(), runbook_url: z.string() }),
});
const rules = z.object({ groups: z.tuple([z.object({ rules: z.array(rule) })]) }).parse(read(rulesFile))
  .groups[0].rules;

function read(file: string): unknown {
  return parse(readFileSync(join(project, file), "utf8"));
}

function promtool(...args: string[]): { status: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync("promtool", args, { cwd: project, encoding: "utf8" });
  return { status, output: `${stdout}${stderr}` };
}

describe("the alerts", () => {
  it("are rules that Prometheus takes", () => {
    expect(promtool("check", "rules", rulesFile)).toMatchObject({ status: 0 });
  });

  it("fire when they must, and end when things are mended", () => {
    const { status, output } = promtool("test", "rules", ...testsFiles);
    expect(output).toContain("SUCCESS");
    expect(status).toBe(0);
  });

  it("are each tested, firing and not", () => {
    const expectation = z.object({ alertname: z.string(), exp_alerts: z.array(z.unknown()) });
    const file = z.object({ tests: z.array(z.object({ alert_rule_test: z.array(expectation) })) });
    const all = testsFiles.flatMap((name) => file.parse(read(name)).tests).flatMap((one) => one.alert_rule_test);
    const tested = (fires: boolean): string[] =>
      [...new Set(all.filter((one) => one.exp_alerts.length > 0 === fires).map(({ alertname }) => alertname))].sort();
    const names = rules.map(({ alert }) => alert).sort();
    expect(tested(true)).toEqual(names);
    expect(tested(false)).toEqual(names);
  });

  it("name only metrics and labels that are exported", async () => {
    const exported = await exportedMetrics();
    for (const { alert, expr } of rules) expect([alert, wrongNames(expr, exported)]).toEqual([alert, []]);
  });

  it("lead to a section of the runbook each, and the runbook has no other", () => {
    const headings = readFileSync(join(project, "docs/runbook.md"), "utf8").matchAll(/^## (.*)$/gm);
    const sections = Array.from(headings, ([, heading = ""]) => heading);
    expect(sections).toEqual(rules.map(({ alert }) => alert));
    for (const { alert, annotations } of rules) {
      expect(annotations.runbook_url).toBe(`https://example.net/stillpoint/docs/runbook.md#${alert.toLowerCase()}`);
    }
  });
});
