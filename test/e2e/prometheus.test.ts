import * as fs from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { query, startPrometheus } from "../helpers/real-prometheus.ts";
import { eventually, RunningDaemon } from "../helpers/running-daemon.ts";
import { makeSite } from "../helpers/site.ts";

const rest = `
replicas: { far: { path: replicas/far } }
sources: { docs: { directory: { path: docs } } }
policies:
  often:
    sources: [docs]
    schedule: { cron: "*/2 * * * * *" }
    keep: { last: 5 }
    replicate: { far: {} }
daemon: { listen: "127.0.0.1:0" }
`;

describe("a real Prometheus", () => {
  it("sees a failing replica's age grow while the primary's falls at each capture, and fall when it is back", async () => {
    const site = await makeSite({ rest });
    const daemon = new RunningDaemon(site.configFile);
    const prometheus = await startPrometheus(site, await daemon.started());
    const age = (location: string): string => `stillpoint_recovery_point_age_seconds{location="${location}"}`;
    const reaches = async (expression: string, wanted: (value: number) => boolean): Promise<number> =>
      await eventually(async () => {
        const value = await query(prometheus, expression);
        return value !== undefined && wanted(value) ? value : undefined;
      });

    await reaches(age("far"), (value) => value < 10);
    await reaches('up{job="stillpoint"}', (value) => value === 1);

    await fs.rename(site.at("replicas", "far"), site.at("replicas", "away"));
    await reaches(age("far"), (value) => value > 20);
    await reaches('stillpoint_location_reachable{location="far"}', (value) => value === 0);
    await reaches('stillpoint_location_reachable{location="primary"}', (value) => value === 1);
    // Over 15 seconds the primary's age falls again and again and stays below the replica's, which never falls.
    await reaches(`resets(${age("primary")}[15s])`, (value) => value >= 2);
    await reaches(`${age("far")} - ignoring(location) max_over_time(${age("primary")}[15s])`, (value) => value > 5);
    expect(await query(prometheus, `resets(${age("far")}[15s])`)).toBe(0);
    await reaches('stillpoint_replication_backlog_points{location="far"}', (value) => value > 0);

    await fs.rename(site.at("replicas", "away"), site.at("replicas", "far"));
    await reaches(age("far"), (value) => value < 10);
    await reaches('stillpoint_replication_backlog_points{location="far"}', (value) => value === 0);
  });
});
