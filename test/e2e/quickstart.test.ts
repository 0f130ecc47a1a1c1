/** `npm start`, as someone sees it who has just cloned the project. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, onTestFinished, test } from "vitest";
import { freePort } from "../helpers/free-port.ts";
import { project, stillpoint } from "./host.ts";

const folder = mkdtempSync(join(tmpdir(), "stillpoint-quickstart-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

class Quickstart {
  output = "";
  readonly ended: Promise<number | null>;
  readonly #child: ChildProcess;

  constructor(port: number) {
    const args = ["start", "--", "--folder", folder, "--listen", `127.0.0.1:${port}`];
    // A process group of its own: Ctrl-C in a terminal goes to all of it.
    this.#child = spawn("npm", args, { cwd: project, detached: true, stdio: ["ignore", "pipe", "pipe"] });
    const { promise, resolve } = Promise.withResolvers<number | null>();
    this.ended = promise;
    this.#child.once("close", resolve);
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.on("data", (chunk: Buffer) => (this.output += chunk.toString()));
    }
    onTestFinished(async () => {
      this.kill("SIGTERM");
      await this.ended;
    });
  }

  kill(signal: NodeJS.Signals): void {
    try {
      process.kill(-(this.#child.pid ?? 0), signal);
    } catch {
      // It has ended already.
    }
  }

  async says(pattern: RegExp): Promise<void> {
    await until(() => Promise.resolve(pattern.test(this.output))).catch(() => {
      throw new Error(`it didn't say ${String(pattern)}, but:\n${this.output}`);
    });
  }
}

async function until(isSo: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 120_000;
  while (!(await isSo())) {
    if (Date.now() > deadline) throw new Error("it took too long");
    await new Promise((resolve) => void setTimeout(resolve, 100));
  }
}

async function read(port: number, page: string): Promise<string> {
  return await (await fetch(`http://127.0.0.1:${port}/${page}`)).text();
}

function count(): number {
  const { stdout } = stillpoint(["list", "--json", "--config", join(folder, "quickstart.yaml")]);
  return (JSON.parse(stdout) as unknown[]).length;
}

test("npm start says what it protects, does it, and ends with Ctrl-C; the next start goes on with it", async () => {
  const port = await freePort();
  const first = new Quickstart(port);
  await first.says(/replicated to second/);
  expect(first.output).toContain("this machine's /etc");
  expect(first.output).toContain(`http://127.0.0.1:${port}/metrics`);
  expect(first.output).toMatch(/captured etc: \d/);
  expect(first.output).toMatch(/captured project: \d/);

  await until(async () =>
    /^stillpoint_recovery_point_age_seconds\{.*source="etc",location="second"\} \d/m.test(await read(port, "metrics")),
  );
  expect((await fetch(`http://127.0.0.1:${port}/healthz`)).status).toBe(200);

  const suggested = /^ {2}(\S+ restore latest .*?) +#/m.exec(first.output)?.[1] ?? "";
  const to = join(folder, "etc-again");
  const [, ...args] = suggested.replace("/tmp/etc-again", to).split(" ");
  expect(stillpoint(args, { environment: { STILLPOINT_CONFIG: join(folder, "quickstart.yaml") } }).status).toBe(0);
  expect(spawnSync("cmp", [join(to, "passwd"), "/etc/passwd"]).status).toBe(0);

  const before = count();
  first.kill("SIGINT");
  await first.ended;
  expect(first.output).toMatch(/stopped\n/);
  expect(first.output).not.toMatch(/^ +at /m);

  const second = new Quickstart(port);
  await second.says(/replicated to second/);
  expect(count()).toBeGreaterThan(before);
  second.kill("SIGTERM");
  await second.ended;
  expect(second.output).toMatch(/stopped\n/);
  expect(existsSync(join(folder, "state/control.sock"))).toBe(false);
});

test("a port that is taken: says so, and how to choose another", async () => {
  const server = createServer();
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void server.close());
  const address = server.address();
  const quickstart = new Quickstart(typeof address === "object" && address !== null ? address.port : 0);
  expect(await quickstart.ended).not.toBe(0);
  expect(quickstart.output).toContain("npm start -- --listen");
  expect(quickstart.output).not.toMatch(/^ +at /m);
});
