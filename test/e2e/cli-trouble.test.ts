/** The real program when things go wrong: a clear message, the right exit status, nothing lost. */
import { execFile, spawnSync } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { MemoryMount, mayMount } from "../../src/restore/boot/memory-mount.ts";
import { waitFor } from "../helpers/guest/qemu.ts";
import { RunningDaemon } from "../helpers/running-daemon.ts";
import { type Ended, ended, Host, isRoot, project, startStillpoint, stillpoint } from "./host.ts";

const host = new Host();

beforeAll(() => {
  host.set();
  expect(host.run("run", "all").status).toBe(0);
});
afterAll(() => host.remove());

/** What must be true of every failure: words for a person, never a stack. */
function expectClear({ stderr }: Ended, message: string): void {
  expect(stderr).toContain(message);
  expect(stderr).not.toMatch(/^ +at |Error:|node:internal/m);
}

/** A copy of the host's repository, and the options that open it. */
function copy(): { folder: string; options: string[] } {
  const folder = host.path(`copy-${process.hrtime.bigint()}`);
  cpSync(host.path("repository"), folder, { recursive: true });
  return { folder, options: ["--repository", folder, "--key-file", host.key] };
}

/** The packs with content: class 2 in the header (docs/format.md section 6). */
function dataPacks(folder: string): string[] {
  const names = readdirSync(join(folder, "packs"), { recursive: true, encoding: "utf8" });
  const files = names.map((name) => join(folder, "packs", name)).filter((file) => statSync(file).isFile());
  return files.filter((file) => readFileSync(file)[10] === 2);
}

function mount(...args: readonly string[]): void {
  const { status, stderr } = spawnSync("mount", args, { encoding: "utf8" });
  if (status !== 0) throw new Error(stderr);
  const target = args.at(-1) ?? "";
  onTestFinished(() => void spawnSync("umount", [target]));
}

/** Makes files those of a server that is gone: who reads them waits. Gives how often somebody has asked for something of them. */
async function deaden(targets: readonly string[]): Promise<() => number> {
  let asked = 0;
  const read = async (): Promise<never> => {
    asked += 1;
    return await Promise.withResolvers<never>().promise;
  };
  const folder = mkdtempSync(host.path("dead-"));
  const files = targets.map((target, number) => ({ name: String(number), size: statSync(target).size, read }));
  const dead = await MemoryMount.mount({ folder, files, onFailure: () => undefined });
  onTestFinished(async () => await dead.unmount());
  for (const [number, target] of targets.entries()) {
    // Not waited for in this process's only thread: it is the server.
    await promisify(execFile)("mount", ["--bind", join(folder, String(number)), target]);
    onTestFinished(() => void spawnSync("umount", ["-l", target]));
  }
  return () => asked;
}

describe("wrong usage", () => {
  test.each([
    [["frobnicate"], "unknown command 'frobnicate'"],
    [["list", "--frobnicate"], "unknown option '--frobnicate'"],
    [["show", "nonsense"], "isn't the id of a recovery point"],
    [["run", "all", "--config", "/nowhere.yaml"], "/nowhere.yaml"],
  ])("%j: exit status 2", (args, message) => {
    const result = args.includes("--config")
      ? stillpoint(args)
      : stillpoint([...args, ...(args[0] === "show" ? copy().options : [])]);
    expect(result.status).toBe(2);
    expectClear(result, message);
  });

  test("a configuration full of mistakes shows each at its place", () => {
    const file = host.path("bad.yaml");
    writeFileSync(file, "version: 2\nrepository: { path: 7 }\nsorces: {}\n");
    const result = stillpoint(["list", "--config", file]);
    expect(result.status).toBe(2);
    expectClear(result, `${file}:1:10: `);
    expectClear(result, `${file}:3:1: `);
  });
});

describe("damage", () => {
  test("a truncated pack: check says what it costs, restore brings back the rest: 4 and 4", () => {
    const { folder, options } = copy();
    for (const pack of dataPacks(folder)) truncateSync(pack, 100);
    const checked = stillpoint(["check", ...options]);
    expect({ status: checked.status, stdout: checked.stdout }).toEqual({
      status: 4,
      stdout: expect.stringMatching(/^DAMAGE: /m),
    });
    const to = host.path("partly");
    const restored = stillpoint([
      "restore",
      "latest",
      "--source",
      "data",
      "--to",
      to,
      "--keep-going",
      "--json",
      ...options,
    ]);
    expect(restored.status).toBe(4);
    const { damaged } = JSON.parse(restored.stdout) as { damaged: { path: string }[] };
    expect(damaged.map(({ path }) => path)).toEqual(expect.arrayContaining(["big", "folder/private"]));
    expect(readFileSync(join(to, "folder/private"))).toEqual(Buffer.alloc(6));
  });

  test("cat of what is damaged: exit status 4", () => {
    const { folder, options } = copy();
    // Blobs begin behind 48 bytes.
    for (const pack of dataPacks(folder)) writeFileSync(pack, readFileSync(pack).fill(0xff, 50, 60));
    const result = stillpoint(["cat", "latest", "big", "--source", "data", ...options]);
    expect(result.status).toBe(4);
    expectClear(result, "damaged");
  });

  test("no index: looking still says what to do", () => {
    const { folder, options } = copy();
    rmSync(join(folder, "index"), { recursive: true });
    expect(stillpoint(["check", ...options]).status).toBe(4);
    expect(stillpoint(["repair", ...options]).status).toBe(0);
    expect(stillpoint(["check", "--read-data", ...options]).status).toBe(0);
  });
});

test("a wrong key: exit status 1, and which kind was tried", () => {
  const { options } = copy();
  const other = host.path("other.key");
  writeFileSync(other, `stillpoint-key-1:${Buffer.alloc(32, 1).toString("base64")}\n`);
  const result = stillpoint(["list", ...options.slice(0, 2), "--key-file", other]);
  expect(result.status).toBe(1);
  expectClear(result, "none of its keys opens with the key-file given");
});

describe.skipIf(!isRoot)("storage that can't be written", () => {
  test("read-only: a capture fails and says why; looking and restoring work", () => {
    mount("--bind", host.path("repository"), host.path("repository"));
    mount("-o", "remount,ro,bind", host.path("repository"));
    const result = host.run("run", "all");
    expect(result.status).toBe(1);
    expect(result.stdout).toMatch(/read-only/i);
    expect(host.run("list").status).toBe(0);
    expect(host.run("restore", "latest", "--source", "disk", "--to", host.path("from-read-only")).status).toBe(0);
    expectClear(host.run("hold", "latest", "--source", "disk"), "read-only");
  });

  test("a full disk: nothing is committed, and nothing is lost", () => {
    const small = host.path("small");
    mkdirSync(small);
    mount("-t", "tmpfs", "-o", "size=300k", "none", small);
    const config = host.path("small.yaml");
    writeFileSync(
      config,
      readFileSync(host.config, "utf8")
        .replace("path: repository,", "path: small/repository,")
        .replace("path: usb", "path: small/usb"),
    );
    expect(stillpoint(["init", "--config", config]).status).toBe(0);
    writeFileSync(host.path("data/random"), spawnSync("head", ["-c", "2000000", "/dev/urandom"]).stdout);
    const full = stillpoint(["run", "all", "--source", "data", "--config", config]);
    rmSync(host.path("data/random"));
    expect(full.status).toBe(1);
    expect(full.stdout).toMatch(/ENOSPC.*Free some space/);
    expect(stillpoint(["list", "--json", "--config", config]).stdout).toBe("[]\n");
    expect(stillpoint(["run", "all", "--source", "dump", "--config", config]).status).toBe(0);
    expect(stillpoint(["check", "--read-data", "--config", config]).status).toBe(0);
  });

  test("someone else's repository: exit status 1", () => {
    const { folder, options } = copy();
    const key = host.path("readable.key");
    cpSync(host.key, key);
    chmodSync(key, 0o644);
    const result = stillpoint(["list", "--repository", folder, "--key-file", key], { asNobody: true });
    expect(result.status).toBe(1);
    expectClear(result, "Look at the owner and mode of the folder");
    expectClear(stillpoint(["list", ...options], { asNobody: true }), "permission denied");
  });
});

describe("an absurd clock", () => {
  const shifted = (ms: number): { environment: Record<string, string> } => {
    const code = `const now = Date.now; Date.now = () => now() + ${ms};`;
    return { environment: { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(code)}` } };
  };
  const century = 100 * 365 * 86_400_000;
  const result = (args: string[], ms: number): Ended => stillpoint([...args, "--config", host.config], shifted(ms));

  test("far ahead: the point is made and dated so; back in time it uses up no slot, and the newest real one is kept", () => {
    expect(result(["run", "all", "--source", "disk"], century).status).toBe(0);
    expect(host.run("run", "all", "--source", "disk").status).toBe(0);
    const [primary] = host.json("prune", "--dry-run") as {
      sources: { source: string; keep: { reasons: string[] }[]; remove: string[] }[];
    }[];
    const disk = primary?.sources.find(({ source }) => source === "disk");
    expect(disk?.remove).toEqual([]);
    expect(disk?.keep.flatMap(({ reasons }) => reasons)).toEqual(
      expect.arrayContaining(["dated in the future", "newest"]),
    );
    expect(host.run("list").stdout).toMatch(/ -\d+d/);
    const points = (host.json("status") as { points: { source: string; age: number }[] }).points;
    expect(points.find(({ source }) => source === "disk")?.age).toBeLessThan(century / 2000);
  });

  test("a sweep sees that the clocks differ, and deletes nothing", () => {
    const swept = result(["sweep"], -century / 2);
    expect(swept.status).toBe(1);
    expectClear(swept, "clock");
    expect(host.run("check").status).toBe(0);
  });
});

describe("being cut off", () => {
  test("by a reader that has had enough: quietly, exit status 0", () => {
    const script = `"$0" "$@" | head -c 10; exit \${PIPESTATUS[0]}`;
    const launcher = join(project, "bin/stillpoint");
    for (const verb of [["cat", "latest", "big", "--source", "data"], ["list"], ["ls", "latest", "--source", "data"]]) {
      const args = ["-c", script, launcher, ...verb, "--config", host.config];
      const { status, stderr } = spawnSync("bash", args, { encoding: "utf8" });
      expect({ verb, status, stderr }).toEqual({ verb, status: 0, stderr: "" });
    }
  });

  // The last as by `timeout`, which tells the program and then its whole group.
  test.each<{ signals: NodeJS.Signals[] }>([
    { signals: ["SIGINT"] },
    { signals: ["SIGTERM"] },
    { signals: ["SIGSTOP", "SIGTERM", "SIGINT", "SIGCONT"] },
  ])("by $signals in the middle of a capture: no recovery point, exit status 1", async ({ signals }) => {
    const config = host.path(`slow-${signals.join("-")}.yaml`);
    const begun = host.path(signals.join("-"));
    const slow = `[sh, -c, 'echo begun; echo $$ >${begun}.new; mv ${begun}.new ${begun}; exec sleep 600']`;
    writeFileSync(
      config,
      readFileSync(host.config, "utf8").replace(/run: \[cat, .*?\]/, () => `run: ${slow}`),
    );
    const before = host.json("list", "--source", "dump");
    const child = startStillpoint(["run", "all", "--source", "dump", "--config", config]);
    const end = ended(child);
    await waitFor("the command to run", () => existsSync(begun));
    const command = `/proc/${Number(readFileSync(begun, "utf8"))}`;
    expect(existsSync(command)).toBe(true);
    for (const signal of signals) child.kill(signal);
    const result = await end;
    expect(result.status).toBe(1);
    expect(result.stdout).toBe("dump: cancelled\nusb: cancelled\nprimary: cancelled\n");
    expectClear(result, "The work was cancelled");
    expect(host.json("list", "--source", "dump")).toEqual(before);
    expect(existsSync(command)).toBe(false);
    expect(host.run("run", "all", "--source", "dump").status).toBe(0);
  });
});

test("the daemon: the verbs go through it, a second one is refused, and it ends cleanly", async () => {
  const other = new Host();
  onTestFinished(() => other.remove());
  other.set();
  const daemon = new RunningDaemon(other.config);
  const address = await daemon.started();
  expect(other.run("status").stdout).toMatch(/^Stillpoint/);
  expect(other.json("status")).toMatchObject({
    daemon: { pid: daemon.process.pid, address, not_ready: expect.any(Array) },
  });
  expect(other.json("run", "all")).toMatchObject({ policy: "all", outcome: "ok" });
  expect(other.run("run", "nothing").status).toBe(1);
  const second = other.run("daemon");
  expect(second.status).toBe(5);
  expectClear(second, "Another daemon serves this repository");
  const status = other.run("status").stdout;
  expect(status).toMatch(/^all +data +primary +[0-9a-f]{8} /m);
  expect(status).toMatch(/^ {2}all +in .* the last one ended .* ago: ok$/m);
  expect(await daemon.end("SIGTERM")).toBe(0);
  expect(other.json("status")).toMatchObject({ daemon: null });
});

test
  .runIf(mayMount())
  .each([
    [["cat", "latest", "big", "--source", "data"]],
    [["check", "--read-data"]],
    [["restore", "latest", "--source", "data", "--to", "restored"]],
  ])("%j ends when it is told to, while the repository's folder doesn't answer any more", async (args) => {
  const { folder, options } = copy();
  const asked = await deaden(dataPacks(folder));
  const given = args.map((one) => (one === "restored" ? join(folder, one) : one));
  const child = startStillpoint([...given, ...options]);
  const end = ended(child);
  await waitFor("the program to read", () => asked() > 0);
  child.kill("SIGINT");
  const { status, stderr } = await end;
  expect([status, stderr]).toEqual([1, expect.stringContaining("The work was cancelled.")]);
});
