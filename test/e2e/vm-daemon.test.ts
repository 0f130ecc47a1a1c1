/** A virtual machine in the care of the real daemon. */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { randomFillSync } from "node:crypto";
import * as fs from "node:fs";
import * as path from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Qmp } from "../../src/qemu/qmp.ts";
import { loadCatalog } from "../../src/repository/points/catalog.ts";
import { type CounterGuest, startCounterGuest } from "../helpers/guest/counter-guest.ts";
import { waitFor } from "../helpers/guest/qemu.ts";
import { describeGuest } from "../helpers/guest/leftovers.ts";
import { control, controlSocket } from "../helpers/guest/vm-site.ts";
import { RunningDaemon, samplesAt } from "../helpers/running-daemon.ts";
import { makeSite, type Site } from "../helpers/site.ts";
import { tempDir } from "../helpers/temp-dir.ts";
import { project, stillpoint } from "./host.ts";

let folder: string;
let guests: CounterGuest[];

beforeEach(async () => {
  folder = await tempDir();
  guests = [];
});

afterEach(async () => {
  for (const guest of guests) await guest.stop();
});

async function start(name: string): Promise<CounterGuest> {
  const place = path.join(folder, name);
  fs.mkdirSync(place);
  const disks = [{}, { size: 256 * 2 ** 20 }];
  const guest = await startCounterGuest({ folder: place, memory: 32, disks, args: controlSocket(place) });
  guests.push(guest);
  return guest;
}

const spool = (): string => path.join(folder, "spool");

function configured(schedule: string, more = ""): string {
  const sources = guests.map(({ folder: place, qmp }) => {
    return `  ${path.basename(place)}: { vm: { qmp: ${qmp}, max_pause: 30s, spool: ${spool()} } }\n`;
  });
  const names = guests.map(({ folder: place }) => path.basename(place));
  return `
sources:
  docs: { directory: { path: docs } }
${sources.join("")}
policies:
  all:
    sources: [${(names.length === 0 ? ["docs"] : names).join(", ")}]
    schedule: ${schedule}
    keep: { last: 20 }
${more}
daemon: { listen: "127.0.0.1:0" }
`;
}

async function reload({ configFile }: Site, daemon: RunningDaemon, rest: string): Promise<void> {
  const from = daemon.lines.length;
  fs.writeFileSync(configFile, `version: 1\nrepository: { path: repository, key_file: key }\n${rest}`);
  daemon.process.kill("SIGHUP");
  await daemon.line(({ message }) => message === "configuration reloaded", from);
}

function run(site: Site): { readonly status: number | null; readonly report: unknown; readonly stderr: string } {
  const { status, stdout, stderr } = stillpoint(["run", "all", "--json", "--config", site.configFile]);
  return { status, stderr, report: stdout === "" ? undefined : JSON.parse(stdout) };
}

/** As a capture that was killed with its watchdog would have left it. */
async function leave(qmp: Qmp): Promise<void> {
  await qmp.execute("blockdev-add", { driver: "null-co", "node-name": "stillpoint-scratch-9" });
}

/** What the host owes to guests that are being captured. */
function notes(): { readonly pausing: boolean }[] {
  const names = fs.readdirSync(spool()).filter((name) => name.endsWith(".json"));
  return names.map((name) => JSON.parse(fs.readFileSync(path.join(spool(), name), "utf8")) as { pausing: boolean });
}

/** Puts so much on the second disk that a capture can be met at reading it. */
async function writeMuch(qmp: Qmp): Promise<void> {
  const much = path.join(folder, "much");
  fs.writeFileSync(much, randomFillSync(Buffer.alloc(192 * 2 ** 20)));
  const command = `write -s ${much} 16M 192M`;
  expect(await qmp.hmp(`qemu-io -d /machine/peripheral/disk1/virtio-backend "${command}"`, { timeout: 120_000 })).toBe(
    "",
  );
}

test("the daemon captures a machine by schedule and when asked, makes good what was left, and may be killed meanwhile", async () => {
  const guest = await start("guest");
  await using qmp = await control(guest);
  const before = await describeGuest(guest, spool());
  await leave(qmp);
  const site = await makeSite({ rest: configured("{ manual: true }") });
  const first = new RunningDaemon(site.configFile);
  const url = await first.started();
  const mended = await first.line(({ message }) => message.includes("block nodes"));
  expect(mended).toMatchObject({ level: "warn", source: "guest" });

  await leave(qmp);
  expect(run(site)).toMatchObject({ status: 0, stderr: "" });
  const asked = await first.line(({ message }) => message === "capture finished");
  expect(asked).toMatchObject({ outcome: "ok", consistency: "full-state", mended: ["block nodes"] });
  const samples = await samplesAt(url);
  const labels = 'policy="all",source="guest"';
  expect(samples.get(`stillpoint_capture_pause_seconds_count{${labels}}`)).toBe(1);
  expect(samples.get(`stillpoint_capture_pause_seconds_sum{${labels}}`)).toBeGreaterThan(0);
  expect(samples.get(`stillpoint_recovery_point_age_seconds{${labels},location="primary"}`)).toBeLessThan(600);
  expect(stillpoint(["status", "--config", site.configFile]).stdout).toContain("guest");

  // Told to capture by somebody else, so that we can look on; killed when it has the instant, has noted that the guest runs
  // again, and is to read what the instant has.
  await writeMuch(qmp);
  const instant = qmp.waitForEvent(({ event }) => event === "RESUME", { timeout: 120_000 });
  const asker = spawn(path.join(project, "bin/stillpoint"), ["run", "all", "--config", site.configFile]);
  const answered = once(asker, "exit");
  await instant;
  await waitFor("the note that the guest runs", () => notes().some((note) => !note.pausing));
  expect(await first.end("SIGKILL")).toBe("SIGKILL");
  await answered;
  await guest.ticks(10);
  expect((await loadCatalog(site.primary)).points).toHaveLength(1);

  const second = new RunningDaemon(site.configFile);
  await second.started();
  expect(run(site)).toMatchObject({ status: 0, stderr: "" });
  expect((await loadCatalog(site.primary)).points).toHaveLength(2);
  await guest.ticks(10);
  expect(await describeGuest(guest, spool())).toEqual(before);

  const from = second.lines.length;
  await reload(site, second, configured('{ cron: "*/2 * * * * *" }'));
  const scheduled = await second.line(({ message }) => message === "capture finished", from);
  expect(scheduled).toMatchObject({ outcome: "ok", source: "guest" });

  guests = [];
  await reload(site, second, configured("{ manual: true }"));
  guests = [guest];
  expect(await second.end("SIGTERM")).toBe(0);
  await guest.ticks(10);
  expect(await describeGuest(guest, spool())).toEqual(before);
});

test("`together` from the command line: both have a point of one group, or, when one can't be captured, neither has", async () => {
  await start("one");
  const two = await start("two");
  const site = await makeSite({ rest: configured("{ manual: true }", "    together: true") });
  const { status, report } = run(site);
  expect(status).toBe(0);
  expect(report).toMatchObject({
    outcome: "ok",
    sources: [
      { source: "one", outcome: "ok", point: { pause: expect.any(Number) as number } },
      { source: "two", outcome: "ok", point: { pause: expect.any(Number) as number } },
    ],
  });
  const { points } = await loadCatalog(site.primary);
  const groups = points.map(({ manifest }) => manifest.group);
  expect(groups).toEqual([groups[0], groups[0]]);
  expect(groups[0]?.sources).toEqual(["one", "two"]);

  await using qmp = await control(two);
  await qmp.execute("stop");
  const failed = run(site);
  expect(failed.status).not.toBe(0);
  expect(failed.report).toMatchObject({ sources: [{ outcome: "failed" }, { outcome: "failed" }] });
  expect(JSON.stringify(failed.report)).toContain("two: Cannot capture the virtual machine: its state is `paused`");
  expect((await loadCatalog(site.primary)).points).toHaveLength(2);
  await guests[0]?.ticks(5);
  expect(spawnSync("ls", [spool()], { encoding: "utf8" }).stdout).toBe("");
});
