/** One replica that hangs, and what it must not hold up: the captures, the other replicas, and the numbers. */
import { createServer, type AddressInfo, type Socket } from "node:net";
import { once } from "node:events";
import { expect, it, onTestFinished } from "vitest";
import { eventually, RunningDaemon, samplesAt } from "../helpers/running-daemon.ts";
import { makeSite } from "../helpers/site.ts";

/** A server that takes every connection and never says a word. */
async function silentServer(): Promise<{ readonly port: number; readonly asked: () => number }> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => void sockets.push(socket.on("error", () => undefined)));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, asked: () => sockets.length };
}

it("a server that never answers holds up neither captures nor the other replica, and is told about", async () => {
  const { port, asked } = await silentServer();
  const site = await makeSite({
    rest: `
replicas:
  far: { path: replicas/far }
  hung: { sftp: { host: 127.0.0.1, port: ${String(port)}, user: nobody, path: /nowhere, known_hosts_file: known_hosts } }
sources: { docs: { directory: { path: docs } } }
policies:
  often:
    sources: [docs]
    schedule: { cron: "*/5 * * * * *" }
    keep: { last: 50 }
    replicate: { hung: {}, far: {} }
daemon: { listen: "127.0.0.1:0" }
`,
  });
  const url = await new RunningDaemon(site.configFile).started();
  const replications = (location: string, outcome: string): string =>
    `stillpoint_replications_total{policy="often",location="${location}",outcome="${outcome}"}`;
  const samples = await eventually(async () => {
    const now = await samplesAt(url);
    const sent = now.get(replications("far", "ok")) ?? 0;
    return sent >= 4 && now.has('stillpoint_replication_backlog_points{policy="often",location="hung"}')
      ? now
      : undefined;
  }, 240_000);
  expect(asked()).toBeGreaterThan(0);
  expect(samples.get('stillpoint_captures_total{policy="often",source="docs",outcome="ok"}')).toBeGreaterThanOrEqual(4);
  // The first job is still at it; those after it leave it what they have captured.
  expect(samples.get(replications("hung", "deferred"))).toBeGreaterThanOrEqual(2);
  expect(samples.get('stillpoint_location_reachable{location="hung"}')).toBe(0);
  expect(samples.get('stillpoint_location_reachable{location="far"}')).toBe(1);
  expect(samples.get('stillpoint_replication_backlog_points{policy="often",location="hung"}')).toBeGreaterThanOrEqual(
    2,
  );
  expect(samples.get('stillpoint_replication_backlog_points{policy="often",location="far"}')).toBeLessThan(3);
});
