/** How fast a disk is captured: first, after changes and unchanged, beside the bounds of reading it and of storing it. */
import { renameSync, rmSync, statSync } from "node:fs";
import * as path from "node:path";
import type { CounterGuest } from "../../test/helpers/guest/counter-guest.ts";
import { makeData, settle, workFolder } from "../data.ts";
import { measure } from "../measure.ts";
import type { Results } from "../results.ts";
import { changeDisk } from "./changes.ts";
import { control, startBenchGuest } from "./guest.ts";
import { median, Site } from "./site.ts";

export interface CaptureOptions {
  readonly quick: boolean;
  readonly rounds: number;
}

export async function measureCaptures(work: string, results: Results, options: CaptureOptions): Promise<void> {
  const folder = path.join(work, "guest");
  const disk = path.join(folder, "disk1.raw");
  const { image } = await makeData(workFolder(), options.quick);
  rmSync(folder, { recursive: true, force: true });
  const guest = await startBenchGuestWith(folder, image.path, disk);
  try {
    await measureDisk(work, results, guest, disk, options.rounds);
  } finally {
    await guest.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** It ticks slowly, so that it leaves the processors to what is measured. */
async function startBenchGuestWith(folder: string, image: string, disk: string): Promise<CounterGuest> {
  const options = { folder, memory: 64, rate: 20 } as const;
  const first = await startBenchGuest({ ...options, disks: [{}] });
  await first.stop();
  renameSync(image, disk);
  return await startBenchGuest({ ...options, disks: [{}, {}] });
}

async function measureDisk(
  work: string,
  results: Results,
  guest: CounterGuest,
  disk: string,
  rounds: number,
): Promise<void> {
  const { size } = statSync(disk);
  const times: Record<string, number[]> = {};
  const stored: number[] = [];
  const note = (what: string, seconds: number): void => {
    (times[what] ??= []).push(seconds);
    console.log(`  ${what}  ${seconds.toFixed(2)} s`);
  };
  const vm = { vm: { qmp: guest.qmp, memory: false, disks: ["disk1"] } };
  for (let round = 0; round < rounds; round++) {
    await settle(disk);
    note("nbdcopy to null", await nbdcopy(guest));
    const file = await Site.make(path.join(work, "site"), { image: { path: disk } });
    await settle(disk);
    note("first, as an image", (await file.capture()).seconds);
    const site = await Site.make(path.join(work, "site"), vm);
    await settle(disk);
    note("first", (await site.capture()).seconds);
    const changed = await change(guest, size);
    await settle(disk);
    const increment = await site.capture();
    note("1 % changed", increment.seconds);
    stored.push(increment.stored / changed);
    note("unchanged", (await site.capture()).seconds);
  }
  for (const [what, seconds] of Object.entries(times)) results.facts[`VM's disk: ${what}, s`] = median(seconds);
  const of = (what: string): number => median(times[what] ?? []);
  const bound = Math.max(of("nbdcopy to null"), of("first, as an image"));
  results.facts["VM's disk: first, of the bound's speed, %"] = (bound / of("first")) * 100;
  results.facts["VM's disk: 1 % changed, part of the first's time"] = of("1 % changed") / of("first");
  results.facts["VM's disk: bytes stored per byte changed"] = median(stored);
}

/** The bound of reading: QEMU's own NBD server, a client that throws away what it reads. */
async function nbdcopy(guest: CounterGuest): Promise<number> {
  await using qmp = await control(guest);
  const socket = path.join(guest.folder, "nbd");
  await qmp.execute("nbd-server-start", { addr: { type: "unix", data: { path: socket } } });
  try {
    await qmp.execute("block-export-add", { type: "nbd", id: "bench", "node-name": "disk1", name: "disk1" });
    return (await measure({ program: "nbdcopy", args: [`nbd+unix:///disk1?socket=${socket}`, "null:"] })).seconds;
  } finally {
    await qmp.execute("nbd-server-stop");
  }
}

async function change(guest: CounterGuest, size: number): Promise<number> {
  await using qmp = await control(guest);
  return await changeDisk(qmp, "disk1", size, path.join(guest.folder, "piece"));
}
