import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it, vi } from "vitest";
import { askHistory, askRun, askStatus } from "../../src/daemon/control-client.ts";
import { controlSocketOf } from "../../src/daemon/control-protocol.ts";
import { eventually, get, RunningDaemon, samplesAt } from "../helpers/running-daemon.ts";
import { makeSite, type Site } from "../helpers/site.ts";

const launcher = join(import.meta.dirname, "../../bin/stillpoint");
const labels = 'policy="often",source="docs",location="primary"';
const age = `stillpoint_recovery_point_age_seconds{${labels}}`;

function rest(schedule: string, keep = "last: 3"): string {
  return `
replicas: { far: { path: replicas/far } }
sources: { docs: { directory: { path: docs } } }
policies:
  often:
    sources: [docs]
    schedule: ${schedule}
    objectives: { rpo: 1h }
    keep: { ${keep} }
    replicate: { far: {} }
daemon: { listen: "127.0.0.1:0" }
`;
}

const often = '{ cron: "*/2 * * * * *" }';

async function running(schedule: string): Promise<{ site: Site; daemon: RunningDaemon; url: string }> {
  const site = await makeSite({ rest: rest(schedule) });
  const daemon = new RunningDaemon(site.configFile);
  return { site, daemon, url: await daemon.started() };
}

async function save({ configFile }: Site, after: string): Promise<void> {
  await fs.writeFile(configFile, `version: 1\nrepository: { path: repository, key_file: key }\n${after}`);
}

describe("the daemon", () => {
  it("captures on schedule, replicates, prunes, and says so in its log and metrics", async () => {
    const { daemon, url } = await running(often);
    const jobs = 'stillpoint_jobs_total{policy="often",outcome="ok"}';
    // A scrape may come between two stages, when the newest point is neither sent nor counted yet.
    const asPromised = async (): Promise<void> => {
      const samples = await samplesAt(url);
      expect(samples.get(jobs)).toBeGreaterThanOrEqual(4);
      expect(samples.get(age)).toBeLessThan(30);
      expect(samples.get(age.replace("primary", "far"))).toBeLessThan(30);
      expect(samples.get('stillpoint_recovery_points{source="docs",location="primary"}')).toBeGreaterThanOrEqual(3);
      expect(samples.get('stillpoint_pruned_points_total{policy="often",location="far"}')).toBeGreaterThanOrEqual(1);
      expect(samples.get('stillpoint_location_reachable{location="far"}')).toBe(1);
      expect(samples.get('stillpoint_replication_backlog_points{policy="often",location="far"}')).toBe(0);
    };
    await vi.waitFor(asPromised, { timeout: 120_000 });
    for (const stage of ["capture finished", "replication finished", "prune finished", "job finished"]) {
      // On a busy machine a job may find that the one before it is still replicating, and leave it to that.
      const ended = daemon.lines.filter(({ message }) => message === stage);
      expect(ended).toContainEqual(expect.objectContaining({ policy: "often", outcome: "ok" }));
    }
    expect(daemon.errors).toBe("");
  });

  it("serves health, readiness, a page, and metrics that promtool has nothing to say against", async () => {
    const { url } = await running("{ manual: true }");
    const at = async (path: string): Promise<string> => await (await get(url + path)).text();
    expect(await at("/healthz")).toBe("ok\n");
    await eventually(async () => ((await at("/readyz")) === "ready\n" ? true : undefined));
    expect(await at("/")).toMatch(/docs[^]*never/);
    const metrics = await at("/metrics");
    expect(metrics).toContain(`${age} +Inf`);
    const { status, stderr, error } = spawnSync("promtool", ["check", "metrics"], { input: metrics, encoding: "utf8" });
    expect({ status, stderr, error }).toEqual({ status: 0, stderr: "", error: undefined });
  });

  it("reloads what is saved, all or nothing", async () => {
    const { site, daemon, url } = await running("{ manual: true }");
    const current = "stillpoint_config_last_reload_successful";
    await save(site, rest("{ manual: true }").replace("last: 3", "lost: 3"));
    const refused = await daemon.line(({ level }) => level === "error");
    expect(JSON.stringify(refused)).toContain("stillpoint.yaml:11:");
    expect((await samplesAt(url)).get(current)).toBe(0);
    expect((await get(`${url}/readyz`)).status).toBe(503);

    await save(site, rest(often));
    await daemon.line(({ message }) => message === "configuration reloaded");
    expect((await samplesAt(url)).get(current)).toBe(1);
    await daemon.line(({ message }) => message === "capture finished");
  });

  it("moves to another address when it is told to by SIGHUP", async () => {
    const { site, daemon, url } = await running("{ manual: true }");
    const { port } = new URL(url);
    await save(site, rest("{ manual: true }").replace("127.0.0.1:0", "127.0.0.2:0"));
    daemon.process.kill("SIGHUP");
    await daemon.line(({ message }) => message === "configuration reloaded");
    await expect(get(`http://127.0.0.1:${port}/healthz`)).rejects.toThrow("fetch failed");
  });

  it("does what the command line asks for, and ends cleanly on SIGTERM while it captures", async () => {
    const { site, daemon } = await running("{ manual: true }");
    const run = spawnSync(launcher, ["run", "often", "--json", "--config", site.configFile], { encoding: "utf8" });
    expect(run.stderr).toBe("");
    expect(run.status).toBe(0);
    await daemon.line(({ message }) => message === "job finished");

    await save(site, rest("{ manual: true }").replace("directory: { path: docs }", "command: { run: [sleep, '600'] }"));
    daemon.process.kill("SIGHUP");
    await daemon.line(({ message }) => message === "configuration reloaded");
    const from = daemon.lines.length;
    const asking = spawn(launcher, ["run", "often", "--config", site.configFile], { stdio: "ignore" });
    const asked = once(asking, "exit");
    await daemon.line(({ message }) => message === "capture started", from);
    asking.kill();
    expect(await asked).toEqual([1, null]);
    expect(await daemon.end("SIGTERM")).toBe(0);
    expect(daemon.lines.at(-1)?.message).toBe("stopped");
    await expect(fs.stat(controlSocketOf(site.config.repository.state))).rejects.toThrow("ENOENT");
  });

  it("tells what is stored everywhere, and what pruning will forget next", async () => {
    const { site, daemon } = await running("{ manual: true }");
    const { state } = site.config.repository;
    for (const _ of [1, 2, 3]) await askRun(state, { policy: "often" });
    const history = await askHistory(state);
    expect(history?.unread).toEqual([]);
    expect(history?.timelines.map(({ location, count }) => [location, count])).toEqual([
      ["primary", 3],
      ["far", 3],
    ]);
    expect(history?.prunes).toMatchObject([
      { location: "primary", rules: "last 3", keep: 2, remove: 1 },
      { location: "far", keep: 2, remove: 1 },
    ]);
    expect(history?.sizes.map(({ samples }) => samples.length)).toEqual([expect.any(Number), expect.any(Number)]);
    // Each night at some time a sweep is at work, too.
    await eventually(async () => ((await askStatus(state))?.work.length === 0 ? true : undefined));
    expect(daemon.errors).toBe("");
  });

  it("counts a check that somebody has made by hand", async () => {
    const site = await makeSite({ rest: rest("{ manual: true }") });
    const { status, stderr } = spawnSync(launcher, ["check", "--config", site.configFile], { encoding: "utf8" });
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    const daemon = new RunningDaemon(site.configFile);
    await daemon.started();
    const counted = await daemon.line(({ message }) => message === "check by hand");
    expect(counted).toMatchObject({ location: "primary", findings: 0 });
    expect(await daemon.end("SIGTERM")).toBe(0);
  });

  it("is the only one of its repository", async () => {
    const { site, daemon } = await running("{ manual: true }");
    const second = new RunningDaemon(site.configFile);
    expect(await second.end()).toBe(5);
    expect(second.errors).toContain("Another daemon serves this repository");
    expect(daemon.process.exitCode).toBeNull();
  });

  it("refuses to start with a mistake, in words", async () => {
    const site = await makeSite();
    await save(site, "sources: 7\n");
    const invalid = new RunningDaemon(site.configFile);
    expect(await invalid.end()).toBe(2);
    expect(invalid.errors).toContain("stillpoint.yaml:3:");
    await save(site, rest(often));
    await fs.rename(site.at("repository"), site.at("elsewhere"));
    const homeless = new RunningDaemon(site.configFile);
    expect(await homeless.end()).toBe(1);
    expect(homeless.errors).not.toContain("    at ");
    expect(await fs.readdir(site.root)).not.toContain("repository");
  });

  it("starts while a primary that it knows is away, isn't ready, and goes on by itself when it is back", async () => {
    const { site, daemon } = await running(often);
    await daemon.line(({ message }) => message === "capture finished");
    expect(await daemon.end("SIGTERM")).toBe(0);
    await fs.rename(site.at("repository"), site.at("elsewhere"));
    const again = new RunningDaemon(site.configFile);
    const url = await again.started();
    expect((await get(`${url}/readyz`)).status).toBe(503);
    const samples = await samplesAt(url);
    expect(samples.get(age)).toBeLessThan(600);
    expect(samples.get('stillpoint_location_reachable{location="primary"}')).toBe(0);
    await again.line(({ message }) => message === "capture failed");
    await fs.rename(site.at("elsewhere"), site.at("repository"));
    await again.line(({ message }) => message === "capture finished");
    await eventually(async () => ((await get(`${url}/readyz`)).status === 200 ? true : undefined));
  });
});
