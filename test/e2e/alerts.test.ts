import { readdirSync, readFileSync } from "node:fs";
import * as fs from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { dashboardQueries, withoutVariables } from "../helpers/dashboard-queries.ts";
import { type Alert, queryAll, startAlertmanager, startPrometheus, startWebhook } from "../helpers/real-prometheus.ts";
import { eventually, RunningDaemon, samplesAt } from "../helpers/running-daemon.ts";
import { makeSite, type Site } from "../helpers/site.ts";

const config = join(import.meta.dirname, "../../config");

const rest = `
replicas: { far: { path: replicas/far } }
sources: { docs: { directory: { path: docs } } }
policies:
  often:
    sources: [docs]
    schedule: { cron: "*/2 * * * * *" }
    objectives: { rpo: 1h, offsite_rpo: 15s }
    keep: { last: 5 }
    replicate: { far: {} }
daemon: { listen: "127.0.0.1:0" }
`;

function met(location: string): string {
  return `stillpoint_recovery_point_objective_met{policy="often",source="docs",location="${location}"}`;
}

/** The rules as they are shipped, but for how long they wait. */
async function hastyRules({ at }: Site): Promise<string> {
  const rules = readFileSync(join(config, "prometheus/stillpoint.rules.yaml"), "utf8");
  await fs.writeFile(at("rules.yaml"), rules.replaceAll(/^( +for:) .*$/gm, "$1 1s"));
  return at("rules.yaml");
}

describe("a real Prometheus and Alertmanager", () => {
  it("tell a webhook that a broken replica misses its objective, and that it no longer does once it is mended", async () => {
    const site = await makeSite({ rest });
    const daemon = await new RunningDaemon(site.configFile).started();
    // Before the first capture every objective is missed, which may last long enough for an alert.
    await eventually(async () => {
      const samples = await samplesAt(daemon);
      return ["primary", "far"].every((location) => samples.get(met(location)) === 1) ? true : undefined;
    });
    const webhook = await startWebhook();
    const alertmanager = await startAlertmanager(site, webhook.url);
    const prometheus = await startPrometheus(site, daemon, { rules: await hastyRules(site), alertmanager });
    const told = async (status: Alert["status"], from: number): Promise<Alert> =>
      await eventually(() =>
        webhook.told
          .slice(from)
          .find((alert) => alert.status === status && alert.labels["alertname"] === "StillpointObjectiveMissed"),
      );
    await eventually(async () => ((await queryAll(prometheus, met("far")))[0] === 1 ? true : undefined));

    const broken = webhook.told.length;
    await fs.rename(site.at("replicas", "far"), site.at("replicas", "away"));
    const alert = await told("firing", broken);
    const labels = { policy: "often", source: "docs", location: "far", severity: "critical", job: "stillpoint" };
    expect(alert.labels).toMatchObject({ ...labels, instance: new URL(daemon).host });
    expect(alert.annotations["summary"]).toBe("docs (often): its newest recovery point at far is older than promised");
    expect(alert.annotations["runbook_url"]).toContain("docs/runbook.md#stillpointobjectivemissed");

    const mended = webhook.told.length;
    await fs.rename(site.at("replicas", "away"), site.at("replicas", "far"));
    expect((await told("resolved", mended)).labels).toMatchObject(labels);
    // The primary kept its promise all the time, and nobody was told otherwise.
    const names = webhook.told.map(({ labels: { alertname, location } }) => `${alertname ?? ""} ${location ?? ""}`);
    expect(names).not.toContain("StillpointObjectiveMissed primary");
  });

  it("have something to show in every panel of the dashboards", async () => {
    const site = await makeSite({ rest });
    const daemon = await new RunningDaemon(site.configFile).started();
    const prometheus = await startPrometheus(site, daemon);
    const chosen = { instance: new URL(daemon).host, policy: "often", source: "docs" };
    const folder = join(config, "grafana");
    const queries = readdirSync(folder).flatMap((file) => dashboardQueries(join(folder, file)));
    for (const { panel, expr } of queries) {
      // A folder isn't paused, and one as a replica can't be locked.
      if (panel === "Pause" || panel === "Not locked") continue;
      const expression = withoutVariables(expr, chosen);
      const found = await eventually(async () => {
        const values = await queryAll(prometheus, expression);
        return values.length > 0 ? values : undefined;
      }).catch((error: unknown) => error);
      expect([panel, expression, found]).toEqual([panel, expression, expect.any(Array)]);
    }
  });
});

async function writtenFailures({ config: { repository } }: Site): Promise<number> {
  const text = await fs.readFile(join(repository.state, "failures.json"), "utf8").catch(() => "{}");
  const { captures } = JSON.parse(text) as { captures?: { often?: { docs?: { count: number } } } };
  return captures?.often?.docs?.count ?? 0;
}

describe("failures in a row", () => {
  it("are counted on by the next daemon, and are over with the first capture that succeeds", async () => {
    const site = await makeSite({ rest });
    const failures = async (url: string): Promise<number | undefined> =>
      (await samplesAt(url)).get('stillpoint_capture_consecutive_failures{policy="often",source="docs"}');
    await fs.rename(site.at("docs"), site.at("gone"));
    const first = new RunningDaemon(site.configFile);
    const url = await first.started();
    await eventually(async () => (((await failures(url)) ?? 0) >= 4 ? true : undefined));
    // Counted in the metrics at once, and written down a moment later: the next daemon knows only that.
    await eventually(async () => ((await writtenFailures(site)) >= 4 ? true : undefined));
    await first.kill();

    const again = await new RunningDaemon(site.configFile).started();
    expect(await failures(again)).toBeGreaterThanOrEqual(4);
    await fs.rename(site.at("gone"), site.at("docs"));
    await eventually(async () => ((await failures(again)) === 0 ? true : undefined));
  });
});
