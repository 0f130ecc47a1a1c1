/** How soon a guest ticks again: by `boot`, and by `restore` and its launch script. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, globSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import * as path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { measure } from "../measure.ts";
import type { Results } from "../results.ts";
import { verb } from "../scale/repository.ts";
import { mebibyte, startBenchGuest } from "./guest.ts";
import { label } from "./pauses.ts";
import { median, Site } from "./site.ts";

/** In MiB, and the size of the second disk in GiB. */
export interface Size {
  readonly memory: number;
  readonly disk: number;
}

export async function measureBoots(
  work: string,
  results: Results,
  sizes: readonly Size[],
  rounds: number,
): Promise<void> {
  const seconds: number[] = [];
  for (const size of sizes) {
    const name = `${label(size.memory)}, a disk of ${String(size.disk)} GiB`;
    const site = await captureOne(work, size);
    const boots: number[] = [];
    const restores: number[] = [];
    for (let round = 0; round < rounds; round++) {
      boots.push(await boot(site));
      restores.push(await restore(site, path.join(work, "restored")));
      console.log(
        `  ${name}  boot ${boots.at(-1)?.toFixed(2) ?? ""} s, restore ${restores.at(-1)?.toFixed(2) ?? ""} s`,
      );
    }
    results.facts[`${name}: boot to the next tick, s`] = median(boots);
    results.facts[`${name}: restore to the next tick, s`] = median(restores);
    seconds.push(median(boots));
  }
  results.facts["boot to the next tick, slowest, s"] = Math.max(...seconds);
  results.facts["boot to the next tick, slowest against fastest"] = Math.max(...seconds) / Math.min(...seconds);
}

/** Captures a guest of that size into a new site, with replicas as a configuration has them. */
export async function captureOne(work: string, { memory, disk }: Size, replicas = {}): Promise<Site> {
  const folder = path.join(work, "guest");
  const disks = [{}, { size: disk * 1024 * mebibyte }];
  const guest = await startBenchGuest({ folder, memory, disks, rate: 100 });
  try {
    const site = await Site.make(path.join(work, "site"), { vm: { qmp: guest.qmp, max_pause: "60s" } }, replicas);
    await site.capture();
    return site;
  } finally {
    await guest.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** In seconds, from the start of the command, to which more arguments may be added. */
export async function boot(site: Site, ...more: readonly string[]): Promise<number> {
  const started = performance.now();
  const booting = site.run("boot", "latest", "--source", "one", "--json", ...more);
  const pattern = path.join(site.folder, "state", "boots", "*", "serial0.log");
  const [seconds, answer] = await Promise.all([tickSince(started, () => globSync(pattern)[0]), booting]);
  const { boot: name } = JSON.parse(answer) as { readonly boot: string };
  await site.run("boot", "stop", name);
  return seconds;
}

async function restore(site: Site, target: string): Promise<number> {
  rmSync(target, { recursive: true, force: true });
  mkdirSync(path.dirname(target), { recursive: true });
  const started = performance.now();
  await measure(verb(site.folder, "restore", "latest", "--source", "one", "--to", target, "--quiet"));
  const machine = spawn("setpriv", ["--pdeathsig", "KILL", path.join(target, "launch.sh")], { stdio: "ignore" });
  const ended = once(machine, "exit");
  try {
    return await tickSince(started, () => path.join(target, "serial0.log"));
  } finally {
    machine.kill("SIGKILL");
    await ended;
    rmSync(target, { recursive: true, force: true });
  }
}

const mostMs = 600_000;

/** Waits for a whole count in the file that the serial port prints to. */
async function tickSince(started: number, file: () => string | undefined): Promise<number> {
  for (;;) {
    const name = file();
    if (name !== undefined && existsSync(name) && /^[0-9A-F]{8}\n/m.test(readFileSync(name, "latin1"))) break;
    if (performance.now() - started > mostMs) throw new Error("the guest doesn't tick again");
    await sleep(5);
  }
  return (performance.now() - started) / 1000;
}
