import { spawn } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { describe, expect, it, onTestFinished } from "vitest";
import { eventually, RunningDaemon } from "../helpers/running-daemon.ts";
import { makeSite, type Site } from "../helpers/site.ts";

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

/** A Prometheus that scrapes the daemon each second; ended when the test is over. */
async function startPrometheus({ at }: Site, daemon: string): Promise<string> {
  const target = new URL(daemon).host;
  await fs.writeFile(
    at("prometheus.yaml"),
    `global: { scrape_interval: 1s, scrape_timeout: 1s }
scrape_configs: [{ job_name: stillpoint, static_configs: [{ targets: ["${target}"] }] }]
`,
  );
  const listen = `127.0.0.1:${String(await freePort())}`;
  const options = [
    `--config.file=${at("prometheus.yaml")}`,
    `--storage.tsdb.path=${at("prometheus")}`,
    `--web.listen-address=${listen}`,
  ];
  const server = spawn("prometheus", options, { stdio: "ignore" });
  const ended = once(server, "close");
  onTestFinished(async () => {
    server.kill("SIGKILL");
    await ended;
  });
  await once(server, "spawn");
  return `http://${listen}`;
}

/** A port that was free a moment ago: Prometheus doesn't tell which one it chose. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

interface QueryAnswer {
  readonly data: { readonly result: readonly { readonly value: readonly [number, string] }[] };
}

/** The one value of an expression; undefined when there is none, or Prometheus isn't up yet. */
async function query(prometheus: string, expression: string): Promise<number | undefined> {
  try {
    const response = await fetch(`${prometheus}/api/v1/query?query=${encodeURIComponent(expression)}`);
    const { data } = (await response.json()) as QueryAnswer;
    const value = data.result[0]?.value[1];
    return value === undefined ? undefined : Number(value);
  } catch {
    return undefined;
  }
}

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
    expect(await query(prometheus, 'up{job="stillpoint"}')).toBe(1);

    await fs.rename(site.at("replicas", "far"), site.at("replicas", "away"));
    await reaches(age("far"), (value) => value > 20);
    expect(await query(prometheus, 'stillpoint_location_reachable{location="far"}')).toBe(0);
    expect(await query(prometheus, 'stillpoint_location_reachable{location="primary"}')).toBe(1);
    // Over these 15 seconds the primary's age fell again and again, and the replica's never.
    expect(await query(prometheus, `resets(${age("primary")}[15s])`)).toBeGreaterThanOrEqual(2);
    expect(await query(prometheus, `resets(${age("far")}[15s])`)).toBe(0);
    expect(await query(prometheus, `max_over_time(${age("primary")}[15s])`)).toBeLessThan(15);
    await reaches('stillpoint_replication_backlog_points{location="far"}', (value) => value > 0);

    await fs.rename(site.at("replicas", "away"), site.at("replicas", "far"));
    await reaches(age("far"), (value) => value < 10);
    await reaches('stillpoint_replication_backlog_points{location="far"}', (value) => value === 0);
  });
});
