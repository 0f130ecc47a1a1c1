/** A machine that runs again from a recovery point, by the real program. */
import { execFileSync } from "node:child_process";
import * as fs from "node:fs";
import * as path from "node:path";
import { Qmp } from "../../src/qemu/qmp.ts";
import type { RecoveryPoint } from "../../src/repository/points/manifest.ts";
import { waitFor } from "../helpers/guest/qemu.ts";
import type { VmSite } from "../helpers/guest/vm-site.ts";
import { stillpoint } from "./host.ts";

interface Started {
  readonly boot: string;
  readonly qmp: string;
  readonly serial: readonly string[];
  readonly dir: string;
}

export class Booted {
  readonly #site: VmSite;
  readonly #started: Started;

  private constructor(site: VmSite, started: Started) {
    this.#site = site;
    this.#started = started;
  }

  /** Throws with what the program printed when it fails. */
  static start(site: VmSite, point: RecoveryPoint): Booted {
    const state = path.join(site.folder, "state");
    return new Booted(site, run(["boot", point.id, ...site.location, "--state", state]) as Started);
  }

  /** The whole lines that it has printed since it was booted; the first may lack the beginning that it had printed before. */
  lines(): string[] {
    const [file = ""] = this.#started.serial;
    const text = fs.existsSync(file) ? fs.readFileSync(file, "latin1") : "";
    return text.split(/\r?\n/).slice(0, -1);
  }

  /** Waits until it has printed so many lines, and gives them. */
  async printed(count: number): Promise<string[]> {
    await waitFor(`${String(count)} lines of the booted machine`, () => this.lines().length >= count);
    return this.lines();
  }

  /** Stops it, and gives its memory and its disks `disk0`, `disk1`, … as files, raw. */
  async freeze(memory: number, disks: number): Promise<{ memory: string; disks: string[] }> {
    const { qmp, dir } = this.#started;
    const folder = fs.mkdtempSync(path.join(this.#site.folder, "frozen-"));
    await using monitor = await Qmp.connect(qmp, { timeout: 60_000 });
    await monitor.execute("stop");
    const ram = path.join(folder, "memory");
    await monitor.execute("pmemsave", { val: 0, size: memory, filename: ram });
    const files = Array.from({ length: disks }, (_, number) => {
      const file = path.join(folder, `disk${String(number)}`);
      const overlay = path.join(dir, `disk${String(number)}.qcow2`);
      execFileSync("qemu-img", ["convert", "-U", "-O", "raw", overlay, file]);
      return file;
    });
    return { memory: ram, disks: files };
  }

  stop(): void {
    run(["boot", "stop", this.#started.boot, "--state", path.join(this.#site.folder, "state")]);
  }
}

function run(args: readonly string[]): unknown {
  const { status, stdout, stderr } = stillpoint([...args, "--json"]);
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout);
}
