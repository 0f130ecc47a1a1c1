/** A Debian with a real systemd, in a container of systemd-nspawn. */
import { type ChildProcess, execFile, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { eventually } from "../helpers/running-daemon.ts";

export interface Done {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A tree that boots; made once for all clones and tests of this host, which takes two minutes and Debian's mirror. */
const base = "/var/cache/stillpoint-tests/debian-bookworm-with-sshd-and-qemu";
const packages = "systemd,systemd-sysv,dbus,procps,libatomic1,libstdc++6,openssh-client,openssh-server,qemu-system-x86";

/** Why no such machine can run here; undefined when one can. */
export function whyNoMachine(): string | undefined {
  if (process.getuid?.() !== 0) return "only root can";
  for (const program of ["systemd-nspawn", "nsenter", ...(fs.existsSync(base) ? [] : ["debootstrap"])]) {
    if (spawnSync(program, ["--version"]).error !== undefined) return `${program} is missing`;
  }
  const { status, stderr } = spawnSync("unshare", ["--mount", "--pid", "--net", "--fork", "true"], {
    encoding: "utf8",
  });
  return status === 0 ? undefined : `no namespaces: ${stderr.trim()}`;
}

export class SystemdMachine {
  readonly root: string;
  /** Its processes are in control groups of this name: two machines in one would take each other's. */
  readonly #group: string;
  #nspawn: ChildProcess | undefined;
  #init: number | undefined;

  /** Switched off. The caller removes it. */
  constructor() {
    if (!fs.existsSync(base)) makeBase();
    this.root = fs.mkdtempSync(join(tmpdir(), "stillpoint-machine-"));
    this.#group = `stillpoint-test-${String(process.pid)}`;
    check("cp", ["-a", "--reflink=auto", `${base}/.`, this.root]);
  }

  path(file: string): string {
    return join(this.root, file);
  }

  write(file: string, text: string): void {
    fs.mkdirSync(dirname(this.path(file)), { recursive: true });
    fs.writeFileSync(this.path(file), text);
  }

  /** Resolves when everything that starts at boot has started. */
  async boot(): Promise<void> {
    for (const folder of this.#groups()) fs.mkdirSync(folder, { recursive: true });
    const enter = this.#groups().map((folder) => `echo $$ >${folder}/cgroup.procs`);
    const options = ["--register=no", "--keep-unit", "--private-network", "--quiet", "--console=pipe", "--boot"];
    const nspawn = ["exec", "systemd-nspawn", ...options, `--directory=${this.root}`, "--machine=stillpoint"].join(" ");
    // Its filter of system calls would be seen as one of QEMU's own.
    const env = { ...process.env, SYSTEMD_SECCOMP: "0" };
    const child = spawn("sh", ["-ec", [...enter, nspawn].join("\n")], { env, stdio: ["ignore", "ignore", "pipe"] });
    let said = "";
    child.stderr.on("data", (piece: Buffer) => (said += piece.toString()));
    this.#nspawn = child;
    this.#init = await eventually(() => {
      if (child.exitCode !== null) throw new Error(`systemd-nspawn has ended: ${said}`);
      return initOf(child.pid ?? 0);
    });
    await eventually(async () => {
      const { stdout } = await this.run("systemctl", "is-system-running", "--wait");
      return /running|degraded/.test(stdout) ? true : undefined;
    });
  }

  /** Runs a program in it, to its end. */
  async run(...argv: readonly string[]): Promise<Done> {
    const inside = ["--target", String(this.#init), "--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd"];
    const env = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C", SYSTEMD_COLORS: "0", SYSTEMD_PAGER: "" };
    const options = { env, timeout: 180_000, maxBuffer: 64 * 1024 * 1024 };
    const { promise, resolve } = Promise.withResolvers<Done>();
    execFile("nsenter", [...inside, ...argv], options, (error, stdout, stderr) => {
      const code = error === null ? 0 : error.code;
      resolve({ status: typeof code === "number" ? code : -1, stdout, stderr });
    });
    return await promise;
  }

  /** As `run`; throws when the program fails. */
  async must(...argv: readonly string[]): Promise<string> {
    const { status, stdout, stderr } = await this.run(...argv);
    if (status !== 0) throw new Error(`${argv.join(" ")} ended with ${String(status)}: ${stdout}${stderr}`);
    return stdout;
  }

  /** Everything stops at this instant. Harmless when nothing runs. */
  async cutPower(): Promise<void> {
    if (this.#nspawn === undefined) return;
    const ended = once(this.#nspawn, "exit");
    // The kernel ends all of a PID namespace with its first process.
    if (this.#init === undefined) this.#nspawn.kill("SIGKILL");
    else process.kill(this.#init, "SIGKILL");
    if (this.#nspawn.exitCode === null && this.#nspawn.signalCode === null) await ended;
    this.#nspawn = undefined;
    this.#init = undefined;
  }

  async remove(): Promise<void> {
    await this.cutPower();
    for (const folder of this.#groups())
      spawnSync("find", [folder, "-depth", "-type", "d", "-exec", "rmdir", "{}", ";"]);
    fs.rmSync(this.root, { recursive: true, force: true });
  }

  /** In the hierarchies in which systemd keeps its own. */
  #groups(): string[] {
    const hierarchies = ["systemd", "unified"]
      .map((name) => join("/sys/fs/cgroup", name))
      .filter((path) => fs.existsSync(path));
    return (hierarchies.length === 0 ? ["/sys/fs/cgroup"] : hierarchies).map((folder) => join(folder, this.#group));
  }
}

function makeBase(): void {
  fs.mkdirSync(dirname(base), { recursive: true });
  const making = fs.mkdtempSync(`${base}-`);
  try {
    check("debootstrap", ["--variant=minbase", `--include=${packages}`, "bookworm", making]);
    fs.chmodSync(making, 0o755);
    if (!fs.existsSync(base)) fs.renameSync(making, base);
  } finally {
    fs.rmSync(making, { recursive: true, force: true });
  }
}

function check(program: string, args: readonly string[]): void {
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: "utf8" });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`${program} ended with ${String(status)}: ${stdout}${stderr}`);
}

/** The first process of the machine that this systemd-nspawn runs, once there is one: before, it is a copy of systemd-nspawn. */
function initOf(nspawn: number): number | undefined {
  const { stdout } = spawnSync("ps", ["--ppid", String(nspawn), "-o", "pid=,comm="], { encoding: "utf8" });
  const [, init] = /^\s*(\d+) systemd$/m.exec(stdout) ?? [];
  return init === undefined ? undefined : Number(init);
}
