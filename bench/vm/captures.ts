/** How fast a disk is captured: first, after changes and unchanged, beside the bounds of reading it and of storing it. */
import { randomFillSync } from "node:crypto";
import { renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import * as path from "node:path";
import type { Qmp } from "../../src/qemu/qmp.ts";
import type { CounterGuest } from "../../test/helpers/guest/counter-guest.ts";
import { makeData, settle, workFolder } from "../data.ts";
import { measure } from "../measure.ts";
import type { Results } from "../results.ts";
import { control, mebibyte, startBenchGuest } from "./guest.ts";
import { median, Site } from "./site.ts";

/** A write's size: what one bit of a dirty bitmap stands for. */
const piece = 64 * 1024;

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
  const changed = Math.floor(size / 100 / piece);
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
    await change(guest, path.join(work, "piece"), size, changed);
    await settle(disk);
    const increment = await site.capture();
    note("1 % changed", increment.seconds);
    stored.push(increment.stored / (changed * piece));
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

/** Writes random bytes at places evenly spread, as the guest would: through QEMU, so that its bitmaps know. */
async function change(guest: CounterGuest, file: string, size: number, count: number): Promise<void> {
  await using qmp: Qmp = await control(guest);
  const step = Math.floor(size / count / piece) * piece;
  for (let number = 0; number < count; number++) {
    writeFileSync(file, randomFillSync(Buffer.alloc(piece)));
    const write = `write -q -s ${file} ${String(number * step + mebibyte)} ${String(piece)}`;
    const answer = await qmp.hmp(`qemu-io -d /machine/peripheral/disk1/virtio-backend "${write}"`);
    if (answer.trim() !== "") throw new Error(answer);
  }
  rmSync(file);
}
