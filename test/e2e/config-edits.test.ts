/** An administrator changes the configuration of a running daemon: what it would change, what is refused, what waits. */
import { execFile } from "node:child_process";
import * as fs from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, it, onTestFinished } from "vitest";
import { askRun, askStatus } from "../../src/daemon/control-client.ts";
import { stillpoint } from "../cli/harness.ts";
import { get, RunningDaemon, samplesAt } from "../helpers/running-daemon.ts";
import { makeSite } from "../helpers/site.ts";
import { tempDir } from "../helpers/temp-dir.ts";

function written(keep: string, more = ""): string {
  return `version: 1
repository: { path: repository, key_file: key }
replicas: { far: { path: replicas/far } }
sources: { docs: { directory: { path: docs } } }
policies:
  often:
    sources: [docs]
    schedule: { manual: true }
    keep: { ${keep} }
    replicate: { far: { keep: { last: 20 } } }
daemon: { listen: "127.0.0.1:0" }
${more}`;
}

it("shows what an edit would forget, forgets nothing until that is accepted, and then only that", async () => {
  const site = await makeSite({ rest: written("last: 10").split("\n").slice(2).join("\n") });
  const config = ["--config", site.configFile];
  const state = site.config.repository.state;
  const daemon = new RunningDaemon(site.configFile);
  const url = await daemon.started();
  const run = async () => {
    await fs.appendFile(site.at("docs", "letter"), "more\n");
    return await askRun(state, { policy: "often" });
  };
  for (let i = 0; i < 4; i++) expect(await run()).toMatchObject({ outcome: "ok" });

  await fs.mkdir(site.at("drafts"));
  const draft = site.at("drafts", "new.yaml");
  await fs.writeFile(draft, written("last: 1", "maintenance: { grace: 36h }"));
  const diff = await stillpoint(["config", "diff", draft, ...config]);
  expect(diff).toMatchObject({ status: 0, stderr: "" });
  expect(diff.stdout).toContain("changed  policy often\n           keep.last: 10 -> 1\n");
  expect(diff.stdout).toContain('changed  maintenance.grace: (not set) -> "36h"');
  expect(diff.stdout).toContain("often: docs at primary: 3 of 4 recovery points would be forgotten (75 %)");
  expect(diff.stdout.match(/kept until now: last/g)).toHaveLength(3);
  expect(diff.stdout).toContain("BLOCKED: often forgets nothing at primary");
  expect(diff.stdout).not.toContain("at far");

  await fs.appendFile(site.configFile, "mistake: 1\n");
  const refused = await daemon.line(({ message }) => message.startsWith("configuration not reloaded"));
  expect(JSON.stringify(refused)).toContain("stillpoint.yaml:");
  expect((await samplesAt(url)).get("stillpoint_config_last_reload_successful")).toBe(0);
  expect((await askStatus(state))?.config).toMatchObject({ current: false, error: { code: "config_invalid" } });
  expect(await (await get(url)).text()).toContain("stillpoint.yaml:");
  const { status, stdout } = await stillpoint(["status", ...config]);
  expect({ status, stdout }).toMatchObject({
    status: 0,
    stdout: expect.stringMatching(/configuration refused: the one of .* stays in force\n.*stillpoint\.yaml:/),
  });

  await fs.copyFile(draft, site.configFile);
  await daemon.line(({ message }) => message === "configuration reloaded");
  expect((await samplesAt(url)).get("stillpoint_config_last_reload_successful")).toBe(1);
  const blocked = await run();
  expect(blocked).toMatchObject({
    outcome: "partial",
    sources: [{ outcome: "ok" }],
    replicas: [{ outcome: "ok" }],
    prune: [
      { location: "primary", outcome: "failed", errors: [{ code: "retention_guarded" }] },
      { location: "far", outcome: "ok", kept: 5 },
    ],
  });
  const failures = 'stillpoint_prune_consecutive_failures{policy="often",location="primary"}';
  expect((await samplesAt(url)).get(failures)).toBe(1);
  expect((await stillpoint(["status", ...config])).stdout).toContain("`stillpoint config accept`");
  expect((await stillpoint(["prune", "--dry-run", ...config])).stdout).toContain("would forget 4 of 5 recovery points");
  expect(await stillpoint(["prune", ...config])).toMatchObject({ status: 3 });
  expect(JSON.parse((await stillpoint(["list", "--json", ...config])).stdout)).toHaveLength(5);
  // Everything but that is in force, so it is all that is left to show.
  const waiting = await stillpoint(["config", "diff", ...config]);
  expect(waiting.stdout).toMatch(
    /^Nothing is different.*\n\noften: docs at primary: 4 of 5 recovery points would be forgotten/,
  );

  const accepted = await stillpoint(["config", "accept", ...config]);
  expect(accepted).toMatchObject({ status: 0, stderr: "" });
  expect(accepted.stdout).toContain("Accepted: often may forget 4 of 5 recovery points of docs at primary.");
  expect(await daemon.line(({ message }) => message.startsWith("new keep rules accepted"))).toMatchObject({
    policy: "often",
    location: "primary",
    by: expect.any(String),
  });
  expect(await run()).toMatchObject({
    outcome: "ok",
    prune: [{ location: "primary", kept: 1, forgotten: 5, accepted: { by: expect.any(String) } }, { location: "far" }],
  });
  const line = await daemon.line((one) => one.message === "prune finished" && one["accepted"] !== undefined);
  expect(line).toMatchObject({ location: "primary", forgotten: 5 });
  expect((await samplesAt(url)).get(failures)).toBe(0);
  const again = await stillpoint(["config", "accept", ...config]);
  expect(again).toMatchObject({ status: 0, stdout: expect.stringContaining("nothing to accept") as string });
  // Once applied the rules are the usual ones: no question is asked again.
  expect(await run()).toMatchObject({ outcome: "ok", prune: [{ forgotten: 1 }, {}] });
  expect(daemon.errors).toBe("");
});

it("forgets by the rules in force when a run that began under others comes to that", async () => {
  const root = await tempDir();
  const pipe = join(root, "pipe");
  await promisify(execFile)("mkfifo", [pipe]);
  const gate = await fs.open(pipe, "r+");
  onTestFinished(async () => await gate.close());
  const waiting = `{ directory: { path: docs }, hooks: { before: { run: [sh, -c, "read line < ${pipe}"], timeout: 10m } } }`;
  const rest = written("last: 2").replace("{ directory: { path: docs } }", waiting);
  const site = await makeSite({ root, rest: rest.split("\n").slice(2).join("\n") });
  const daemon = new RunningDaemon(site.configFile);
  await daemon.started();
  const run = async (meanwhile: () => Promise<void>) => {
    const running = askRun(site.config.repository.state, { policy: "often" });
    await meanwhile();
    // Until then the capture waits.
    await gate.write("go on\n");
    return await running;
  };
  for (const kept of [1, 2])
    expect(await run(() => Promise.resolve())).toMatchObject({ prune: [{ location: "primary", kept }, {}] });
  const from = daemon.lines.length;
  const report = await run(async () => {
    await daemon.line(({ message }) => message === "capture started", from);
    await fs.writeFile(site.configFile, (await fs.readFile(site.configFile, "utf8")).replace("last: 2 ", "last: 9 "));
    await daemon.line(({ message }) => message === "configuration reloaded");
  });
  expect(report).toMatchObject({ outcome: "ok", prune: [{ location: "primary", kept: 3, forgotten: 0 }, {}] });
  expect(daemon.errors).toBe("");
});

it("knows the new policies when it is asked to run one right after it was told to reload", async () => {
  const site = await makeSite();
  const daemon = new RunningDaemon(site.configFile);
  await daemon.started();
  const { state } = site.config.repository;
  const text = await fs.readFile(site.configFile, "utf8");
  // Many times: what comes with a signal may be read before the signal is heard. The source is looked for once the policy is found.
  for (let round = 0; round < 30; round++) {
    const policy = `seldom-${round}`;
    await fs.writeFile(site.configFile, text.replace("often:", `${policy}:`));
    daemon.process.kill("SIGHUP");
    await expect(askRun(state, { policy, source: "none" })).rejects.toThrow('There is no source "none"');
  }
  expect(await askRun(state, { policy: "seldom-29" })).toMatchObject({ outcome: "ok" });
});
