/** A host to protect, in a temporary folder, and the real program to protect it with. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { chmodSync, linkSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const project = join(import.meta.dirname, "../..");
const launcher = join(project, "bin/stillpoint");

export const isRoot = process.getuid?.() === 0;

export interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface StartOptions {
  readonly environment?: Readonly<Record<string, string>>;
  /** Run as the user nobody; only root can. */
  readonly asNobody?: boolean;
}

/** In ms. While it runs nothing else does, not even the timer that ends a test: one that hangs would hang all. */
const timeout = 600_000;

/** Runs `stillpoint` to its end. */
export function stillpoint(args: readonly string[], options: StartOptions = {}): Ended {
  const [program, ...others] = commandLine(args, options);
  const env = { ...process.env, STILLPOINT_CONFIG: "", ...options.environment };
  const { status, stdout, stderr } = spawnSync(program, others, {
    encoding: "utf8",
    env,
    maxBuffer: 64 * 1024 * 1024,
    timeout,
  });
  return { status, stdout, stderr };
}

/** Starts `stillpoint`; the caller ends it. */
export function startStillpoint(args: readonly string[]): ChildProcess {
  return spawn(launcher, args, { stdio: ["ignore", "pipe", "pipe"] });
}

export async function ended(child: ChildProcess): Promise<Ended> {
  const text = { stdout: "", stderr: "" };
  child.stdout?.on("data", (chunk: Buffer) => (text.stdout += chunk.toString()));
  child.stderr?.on("data", (chunk: Buffer) => (text.stderr += chunk.toString()));
  const { promise, resolve } = Promise.withResolvers<number | null>();
  child.once("close", resolve);
  return { status: await promise, ...text };
}

function commandLine(args: readonly string[], { asNobody }: StartOptions): [string, ...string[]] {
  if (asNobody !== true) return [launcher, ...args];
  return ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", launcher, ...args];
}

export interface HostOptions {
  readonly replicas?: readonly string[];
  readonly cron?: string;
}

export class Host {
  readonly folder = mkdtempSync(join(tmpdir(), "stillpoint-host-"));
  readonly config = this.path("stillpoint.yaml");
  readonly key = this.path("repository.key");

  /** A path below the host's folder. */
  path(...names: readonly string[]): string {
    return join(this.folder, ...names);
  }

  /** The sources, and a configuration for them; then `init`. */
  set(options: HostOptions = {}): void {
    chmodSync(this.folder, 0o755);
    this.writeSources();
    writeFileSync(this.config, configText(options));
    const { status, stderr } = this.run("init");
    if (status !== 0) throw new Error(stderr);
  }

  writeSources(): void {
    mkdirSync(this.path("data/folder/empty"), { recursive: true });
    writeFileSync(this.path("data/hello.txt"), "hello\n");
    writeFileSync(this.path("data/big"), Buffer.alloc(3_000_000, "0123456789abcdef-"));
    writeFileSync(this.path("data/folder/private"), "secret", { mode: 0o600 });
    writeFileSync(Buffer.concat([Buffer.from(this.path("data/name-")), Buffer.from([0xff])]), "not UTF-8");
    symlinkSync("../hello.txt", this.path("data/folder/link"));
    linkSync(this.path("data/hello.txt"), this.path("data/folder/hard"));
    writeFileSync(this.path("disk.raw"), "begin");
    truncateSync(this.path("disk.raw"), 5_000_000);
  }

  /** Runs a verb with this host's configuration. */
  run(...args: readonly string[]): Ended {
    return stillpoint([...args, "--config", this.config]);
  }

  /** What a verb prints with `--json`, whatever its exit status. */
  json(...args: readonly string[]): unknown {
    const { stdout, stderr } = this.run(...args, "--json");
    if (stdout === "") throw new Error(stderr);
    return JSON.parse(stdout);
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

function configText({ replicas = ["usb"], cron = "0 0 1 1 *" }: HostOptions): string {
  const lines = (make: (name: string) => string): string => replicas.map(make).join(", ");
  return `version: 1
repository: { path: repository, key_file: repository.key }
replicas: { ${lines((name) => `${name}: { path: ${name} }`)} }
sources:
  data: { directory: { path: data } }
  disk: { image: { path: disk.raw } }
  dump: { command: { run: [cat, ${JSON.stringify(import.meta.filename)}] } }
policies:
  all:
    sources: [data, disk, dump]
    schedule: { cron: '${cron}', timezone: UTC, missed: skip }
    keep: { last: 10 }
    replicate: { ${lines((name) => `${name}: {}`)} }
daemon: { listen: "127.0.0.1:0" }
`;
}
