/**
 * A machine of its own as far as files go: in a mount namespace, /etc/stillpoint, /var/lib/stillpoint, /srv and /mnt are empty
 * folders at first, and nobody else sees them. So what a manual tells an administrator to type can be run as it stands. Takes root.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";

const launcher = join(import.meta.dirname, "../../bin/stillpoint");

export interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** What the machine sees of this one, and where it writes instead. */
const setUp = `
for place in etc var/lib; do
  mkdir -p "$0/upper/$place" "$0/work/$place"
  mount -t overlay -o "lowerdir=/$place,upperdir=$0/upper/$place,workdir=$0/work/$place" overlay "/$place"
done
mkdir -p /etc/stillpoint /var/lib/stillpoint
for place in etc/stillpoint var/lib/stillpoint srv mnt; do
  mkdir -p "$0/own/$place"
  mount --bind "$0/own/$place" "/$place"
done
echo ready
exec sleep infinity
`;

export class SeparateMachine {
  readonly #folder: string;
  readonly #holder: ChildProcess;

  private constructor(folder: string, holder: ChildProcess) {
    this.#folder = folder;
    this.#holder = holder;
  }

  /** Removed when the test is over. */
  static async start(): Promise<SeparateMachine> {
    const folder = mkdtempSync(join(tmpdir(), "stillpoint-separate-"));
    mkdirSync(join(folder, "bin"));
    mkdirSync(join(folder, "home"));
    symlinkSync(launcher, join(folder, "bin/stillpoint"));
    const args = ["--mount", "--propagation", "private", "sh", "-euc", setUp, folder];
    // Ends with this process, and the mounts with it.
    const holder = spawn("setpriv", ["--pdeathsig", "KILL", "unshare", ...args], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const machine = new SeparateMachine(folder, holder);
    const ended = once(holder, "exit").then(() => {
      throw new Error("no machine of its own could be made: mount namespaces and overlays take root");
    });
    await Promise.race([once(holder.stdout, "data"), ended]);
    ended.catch(() => undefined);
    onTestFinished(async () => await machine.remove());
    return machine;
  }

  /** Where this machine's file is for everybody else. */
  path(file: string): string {
    return `/proc/${String(this.#holder.pid)}/root${file}`;
  }

  /** Makes a program, a shell script, that is found before the system's. */
  program(name: string, script: string): void {
    writeFileSync(join(this.#folder, "bin", name), `#!/bin/sh\n${script}`, { mode: 0o755 });
  }

  /** Runs lines of a shell there, in an empty home; each must succeed for the next to run. */
  run(lines: string, environment: Readonly<Record<string, string>> = {}): Outcome {
    const home = join(this.#folder, "home");
    const enter = ["--target", String(this.#holder.pid), "--mount", `--wd=${home}`];
    const { status, stdout, stderr } = spawnSync("nsenter", [...enter, "sh", "-euc", lines], {
      encoding: "utf8",
      env: { PATH: `${join(this.#folder, "bin")}:${process.env["PATH"] ?? ""}`, HOME: home, ...environment },
    });
    return { status, stdout, stderr };
  }

  /** The machine with all that was in it is gone; what still runs there is the caller's to end before. */
  async remove(): Promise<void> {
    if (this.#holder.exitCode === null && this.#holder.signalCode === null) {
      const ended = once(this.#holder, "exit");
      this.#holder.kill("SIGKILL");
      await ended;
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
