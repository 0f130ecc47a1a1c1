import { execFile } from "node:child_process";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { freeze } from "../helpers/guest/freeze.ts";
import { eventually } from "../helpers/running-daemon.ts";
import { project, stillpoint } from "./host.ts";
import { SystemdMachine, whyNoMachine } from "./systemd-machine.ts";
import { prepareSftp, startContainedGuest } from "./systemd-peers.ts";

const service = "stillpoint.service";
const configFile = "etc/stillpoint/stillpoint.yaml";

interface Point {
  readonly source: string;
  readonly time: string;
}

const often = `
  often:
    sources: [etc]
    schedule: { cron: "*/2 * * * * *" }
    objectives: { rpo: 1h }
    keep: { last: 3 }
`;

const byHand = `
  who: { sources: [who], schedule: { manual: true }, keep: { last: 3 } }
  long: { sources: [long], schedule: { manual: true }, keep: { last: 3 } }
`;

const offsite = `
  offsite: { sources: [etc], schedule: { manual: true }, keep: { last: 3 }, replicate: { far: {}, vault: {} } }
`;

const machines = `
  machines: { sources: [guest], schedule: { manual: true }, keep: { last: 3 } }
`;

function config(policies: string, more = ""): string {
  return `version: 1
repository: { path: /var/lib/stillpoint/repository, key_file: /etc/stillpoint/repository.key }
sources:
  etc: { directory: { path: /etc } }
  who: { command: { run: [setpriv, --reuid=nobody, --regid=nogroup, --clear-groups, id, -un] } }
  long:
    command: { run: [sleep, "600"] }
    hooks:
      before: { run: [touch, /var/lib/stillpoint/frozen] }
      after: { run: [sh, -c, "sleep 1; rm /var/lib/stillpoint/frozen"] }
  guest: { vm: { qmp: /srv/guest/qmp, max_pause: 30s, spool: /var/spool/stillpoint } }
policies:
${policies}
${more}
`;
}

const reason = whyNoMachine();
const why = reason === undefined ? "" : ` (not here: ${reason})`;

describe.skipIf(reason !== undefined)(`in a real systemd${why}`, () => {
  let machine: SystemdMachine;
  let folder: string;

  beforeAll(async () => {
    folder = fs.mkdtempSync(join(tmpdir(), "stillpoint-packages-"));
    machine = new SystemdMachine();
    await Promise.all(["1.0.0", "1.0.1"].map(makePackage));
    // As it is shipped, but quicker.
    // But not so quick that a machine that stands still for some seconds has the service killed in the midst of a test.
    const quick = "[Service]\nRestartSec=1s\nWatchdogSec=40s\n";
    machine.write("etc/systemd/system/stillpoint.service.d/quick.conf", quick);
    await machine.boot();
  }, 600_000);

  afterAll(async () => {
    await machine.remove();
    fs.rmSync(folder, { recursive: true, force: true });
  });

  async function makePackage(version: string): Promise<void> {
    const into = join(folder, version);
    const script = ["--disable-warning=ExperimentalWarning", join(project, "scripts/package.ts")];
    await promisify(execFile)(process.execPath, [...script, "--version", version, "--into", into]);
    const [made = ""] = fs.readdirSync(into).filter((file) => file.endsWith(".deb"));
    fs.copyFileSync(join(into, made), machine.path(`root/${version}.deb`));
  }

  async function show(property: string): Promise<string> {
    return (await machine.must("systemctl", "show", service, "--value", "--property", property)).trim();
  }

  async function active(): Promise<string> {
    return (await machine.run("systemctl", "is-active", service)).stdout.trim();
  }

  async function points(source: string): Promise<Point[]> {
    return JSON.parse(await machine.must("stillpoint", "list", "--source", source, "--json")) as Point[];
  }

  /** Waits for one that isn't there yet. */
  async function newPoint(): Promise<void> {
    const before = (await points("etc")).at(-1)?.time ?? "";
    await eventually(async () => ((await points("etc")).at(-1)?.time ?? "") > before || undefined);
  }

  /** Waits until it is in the journal: what somebody has done is there a moment later. */
  async function untilTold(words: string, ...options: readonly string[]): Promise<void> {
    const journal = ["journalctl", "--unit", service, "--output", "cat", ...options];
    await eventually(async () => (await machine.must(...journal)).includes(words) || undefined);
  }

  async function withDropIn(name: string, use: () => Promise<void>): Promise<void> {
    const dropIns = "/etc/systemd/system/stillpoint.service.d";
    await machine.must("cp", `/usr/share/stillpoint/drop-ins/${name}`, dropIns);
    await machine.must("systemctl", "daemon-reload");
    await machine.must("systemctl", "restart", service);
    await use();
    await machine.must("rm", `${dropIns}/${name}`);
    await machine.must("systemctl", "daemon-reload");
    await machine.must("systemctl", "restart", service);
  }

  it("is installed, and nothing is started before it is set up", async () => {
    await machine.must("dpkg", "--install", "/root/1.0.0.deb");
    expect(await machine.must("stillpoint", "--version")).toBe("1.0.0\n");
    expect((await machine.run("systemctl", "is-enabled", service)).stdout).toBe("disabled\n");
    await machine.must("systemctl", "start", "stillpoint.target");
    expect([await active(), await show("ConditionResult")]).toEqual(["inactive", "no"]);
    await machine.must("systemctl", "stop", "stillpoint.target");
    const modes = await machine.must("stat", "-c", "%a %U %n", "/etc/stillpoint", "/var/lib/stillpoint");
    expect(modes).toBe("700 root /etc/stillpoint\n700 root /var/lib/stillpoint\n");
    await machine.must("getent", "passwd", "stillpoint");
    expect(await machine.must("dpkg", "--verify", "stillpoint")).toBe("");
  });

  it("has units that systemd has nothing to say against, and little exposure", async () => {
    const units = ["stillpoint.service", "stillpoint.target"];
    const { stdout, stderr, status } = await machine.run("systemd-analyze", "verify", "--man=no", ...units);
    expect({ stdout, stderr, status }).toEqual({ stdout: "", stderr: "", status: 0 });
    await machine.must("systemd-analyze", "security", "--threshold=25", service);
    for (const name of fs.readdirSync(join(project, "systemd/drop-ins"))) {
      await machine.must("cp", `/usr/share/stillpoint/drop-ins/${name}`, "/etc/systemd/system/stillpoint.service.d/");
      const verified = await machine.run("systemd-analyze", "verify", "--man=no", service);
      expect({ name, ...verified }).toEqual({ name, stdout: "", stderr: "", status: 0 });
      await machine.must("rm", `/etc/systemd/system/stillpoint.service.d/${name}`);
    }
  });

  it("starts, captures, and says how it stands", async () => {
    await machine.must("stillpoint", "init");
    machine.write(configFile, config(often));
    await machine.must("systemctl", "enable", "--now", "stillpoint.target");
    await machine.must("systemctl", "start", service);
    await newPoint();
    const met = "1 policy, oldest recovery point 0 min, objectives met";
    await eventually(async () => (await show("StatusText")).startsWith(met) || undefined);
    expect((await points("etc")).length).toBeGreaterThan(0);
  });

  it("serves its page, with the scripts that it carries", async () => {
    const get = async (path: string): Promise<string> => {
      const request = `GET ${path} HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n`;
      return await machine.must("bash", "-c", `exec 3<>/dev/tcp/127.0.0.1/9464; printf '${request}' >&3; cat <&3`);
    };
    const page = await get("/");
    const [, script = ""] = /src="([^"]*)"/.exec(page) ?? [];
    expect(page).toMatch(/^HTTP\/1.1 200 /);
    expect(await get(script)).toMatch(/^HTTP\/1.1 200 [^]*import /);
    expect(await get("/metrics")).toContain("stillpoint_recovery_point_age_seconds");
  });

  it("gives a source what it needs by a drop-in", async () => {
    machine.write(configFile, config(often + byHand));
    await machine.must("systemctl", "reload", service);
    expect((await machine.run("stillpoint", "run", "who")).stdout).toContain("Operation not permitted");
    await withDropIn("programs.conf", async () => {
      await machine.must("stillpoint", "run", "who");
      expect(await machine.must("stillpoint", "cat", "latest", "--source", "who")).toBe("nobody\n");
    });
  });

  it("replicates by SFTP, with keys of its own and with those of ssh", async () => {
    machine.write(configFile, config(often + offsite, await prepareSftp(machine)));
    await machine.must("systemctl", "reload", service);
    await machine.must("stillpoint", "run", "offsite");
    for (const replica of ["far", "vault"])
      expect(await machine.must("stillpoint", "ls", "latest", "--location", replica)).toContain("passwd");
  });

  it("captures a virtual machine with its drop-in, and frees one that a save has left frozen", async () => {
    const guest = await startContainedGuest(machine);
    machine.write(configFile, config(machines));
    await machine.must("systemctl", "reload", service);
    expect((await machine.run("stillpoint", "run", "machines")).stdout).toContain("Cannot find the QEMU");
    await withDropIn("vm.conf", async () => {
      expect(await machine.must("stillpoint", "run", "machines")).toContain("full-state");
      await guest.goesOn();
      expect(fs.readdirSync(machine.path("var/spool/stillpoint"))).toEqual([]);
      await machine.must("systemctl", "stop", service);
      await freeze(guest);
      await machine.must("systemctl", "start", service);
      await guest.goesOn();
      await untilTold("made good: the guest's memory write-protected");
    });
    await machine.must("systemctl", "stop", "guest");
  });

  it("reloads, and refuses what is wrong", async () => {
    machine.write(configFile, config(often + byHand).replace("keep:", "kept:"));
    const { status } = await machine.run("systemctl", "reload", service);
    expect(status).not.toBe(0);
    expect(await active()).toBe("active");
    await eventually(async () => /configuration file is refused/.test(await show("StatusText")) || undefined);
    await untilTold("stillpoint.yaml:", "--priority", "err");
    machine.write(configFile, config(byHand));
    await machine.must("systemctl", "reload", service);
    await eventually(async () => (await show("StatusText")).startsWith("2 policies") || undefined);
    machine.write(configFile, config(often + byHand));
    await machine.must("systemctl", "reload", service);
  });

  it("comes back when it is killed, and when it hangs", async () => {
    for (const signal of ["KILL", "STOP"]) {
      const [before, restarts] = [await show("MainPID"), Number(await show("NRestarts"))];
      await machine.must("kill", `-${signal}`, before);
      await eventually(async () => Number(await show("NRestarts")) > restarts || undefined);
      await eventually(async () => (await active()) === "active" || undefined);
      expect(await show("MainPID")).not.toBe(before);
      await newPoint();
    }
    await untilTold("Watchdog timeout");
  });

  it("stops in the middle of a capture, and the source is as before", async () => {
    const frozen = machine.path("var/lib/stillpoint/frozen");
    const run = machine.run("stillpoint", "run", "long");
    await eventually(() => fs.existsSync(frozen) || undefined);
    await machine.must("systemctl", "stop", service);
    expect([await show("Result"), fs.existsSync(frozen)]).toEqual(["success", false]);
    expect((await run).status).not.toBe(0);
    expect(await machine.must("ps", "-e", "-o", "comm=")).not.toContain("sleep");
  });

  it("is there again after a loss of power, and the repository is whole", async () => {
    await machine.must("systemctl", "start", service);
    const run = machine.run("stillpoint", "run", "long");
    await eventually(() => fs.existsSync(machine.path("var/lib/stillpoint/frozen")) || undefined);
    await newPoint();
    await machine.cutPower();
    await run;
    await machine.boot();
    expect(await active()).toBe("active");
    await newPoint();
    await machine.must("stillpoint", "check", "--read-data");
  });

  it("is upgraded while it runs", async () => {
    const before = await show("MainPID");
    fs.appendFileSync(machine.path("etc/stillpoint/stillpoint.example.yaml"), "# ours\n");
    await machine.must("dpkg", "--install", "/root/1.0.1.deb");
    expect(await machine.must("stillpoint", "--version")).toBe("1.0.1\n");
    expect([await active(), (await show("MainPID")) === before]).toEqual(["active", false]);
    expect(fs.readFileSync(machine.path("etc/stillpoint/stillpoint.example.yaml"), "utf8")).toContain("# ours");
    await newPoint();
  });

  it("is removed and purged, and every recovery point stays", async () => {
    const key = machine.path("etc/stillpoint/repository.key");
    const repository = machine.path("var/lib/stillpoint/repository");
    const listed = (): Point[] => {
      const from = ["--repository", repository, "--key-file", key, "--source", "etc"];
      return JSON.parse(stillpoint(["list", ...from, "--json"]).stdout) as Point[];
    };
    await machine.must("dpkg", "--remove", "stillpoint");
    expect(await active()).toBe("inactive");
    expect(await machine.must("find", "/etc/systemd/system", "-type", "l", "-name", "stillpoint*")).toBe("");
    // Not compared with what there was before: until it was stopped, the daemon captured and pruned every other second.
    const removed = listed();
    expect(removed.length).toBeGreaterThanOrEqual(3);
    await machine.must("dpkg", "--purge", "stillpoint");
    expect(listed()).toEqual(removed);
    expect(fs.existsSync(machine.path(configFile))).toBe(true);
  });
});
