/** Debian's Prometheus and Alertmanager, each ended when the test is over. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs/promises";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { onTestFinished } from "vitest";
import * as z from "zod";
import { freePort } from "./free-port.ts";
import type { Site } from "./site.ts";

export interface Watching {
  /** A file with rules, judged each second. */
  readonly rules?: string;
  /** Where its alerts go. */
  readonly alertmanager?: string;
}

/** A Prometheus that scrapes the daemon each second. Returns its URL. */
export async function startPrometheus(
  { at }: Site,
  daemon: string,
  { rules, alertmanager }: Watching = {},
): Promise<string> {
  const config = {
    global: { scrape_interval: "1s", scrape_timeout: "1s", evaluation_interval: "1s" },
    rule_files: rules === undefined ? [] : [rules],
    alerting: { alertmanagers: alertmanager === undefined ? [] : [targets(alertmanager)] },
    scrape_configs: [{ job_name: "stillpoint", ...targets(daemon) }],
  };
  await fs.writeFile(at("prometheus.yaml"), JSON.stringify(config));
  return await start("prometheus", (listen) => [
    `--config.file=${at("prometheus.yaml")}`,
    `--storage.tsdb.path=${at("prometheus")}`,
    `--web.listen-address=${listen}`,
  ]);
}

function targets(url: string): object {
  return { static_configs: [{ targets: [new URL(url).host] }] };
}

/** An Alertmanager that tells each change of an alert to a webhook at once. Returns its URL. */
export async function startAlertmanager({ at }: Site, webhook: string): Promise<string> {
  const config = {
    route: { receiver: "test", group_by: ["..."], group_wait: "0s", group_interval: "1s", repeat_interval: "1h" },
    receivers: [{ name: "test", webhook_configs: [{ url: webhook, send_resolved: true }] }],
  };
  await fs.writeFile(at("alertmanager.yaml"), JSON.stringify(config));
  return await start("prometheus-alertmanager", (listen) => [
    `--config.file=${at("alertmanager.yaml")}`,
    `--storage.path=${at("alertmanager")}`,
    `--web.listen-address=${listen}`,
    "--cluster.listen-address=",
  ]);
}

async function start(program: string, options: (listen: string) => string[]): Promise<string> {
  // Neither program tells which port it chose.
  const listen = `127.0.0.1:${String(await freePort())}`;
  const server = spawn(program, options(listen), { stdio: "ignore" });
  const ended = once(server, "close");
  onTestFinished(async () => {
    server.kill("SIGKILL");
    await ended;
  });
  await once(server, "spawn");
  return `http://${listen}`;
}

const notice = z.object({
  alerts: z.array(
    z.object({
      status: z.enum(["firing", "resolved"]),
      labels: z.record(z.string(), z.string()),
      annotations: z.record(z.string(), z.string()),
    }),
  ),
});

export type Alert = z.output<typeof notice>["alerts"][number];

/** A webhook that remembers the alerts that it was told, oldest first. */
export async function startWebhook(): Promise<{ readonly url: string; readonly told: readonly Alert[] }> {
  const told: Alert[] = [];
  const hear = async (request: IncomingMessage): Promise<void> => {
    told.push(...notice.parse(JSON.parse(await text(request))).alerts);
  };
  const server = createServer((request, response) => {
    hear(request).then(
      () => response.end(),
      () => response.writeHead(400).end(),
    );
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(async () => {
    server.closeAllConnections();
    await server[Symbol.asyncDispose]();
  });
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${String(port)}/`, told };
}

const answer = z.object({
  data: z.object({ result: z.array(z.object({ value: z.tuple([z.number(), z.string()]) })) }),
});

/** The values of an expression; none while Prometheus isn't up yet. Throws when it doesn't take the expression. */
export async function queryAll(prometheus: string, expression: string): Promise<readonly number[]> {
  const response = await fetch(`${prometheus}/api/v1/query?query=${encodeURIComponent(expression)}`).catch(
    () => undefined,
  );
  if (response === undefined || response.status === 503) return [];
  if (!response.ok) throw new Error(`${expression}: ${await response.text()}`);
  const { data } = answer.parse(await response.json());
  return data.result.map(({ value }) => Number(value[1].replace("Inf", "Infinity")));
}

/** The first of them. */
export async function query(prometheus: string, expression: string): Promise<number | undefined> {
  return (await queryAll(prometheus, expression))[0];
}
