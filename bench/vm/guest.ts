/** A counting guest to be measured with, and the means to look at it without disturbing. */
import * as fs from "node:fs";
import * as path from "node:path";
import { Qmp } from "../../src/qemu/qmp.ts";
import { type CounterDisk, type CounterGuest, startCounterGuest } from "../../test/helpers/guest/counter-guest.ts";
import { clockArguments, longestGap } from "../../test/helpers/guest/guest-clock.ts";

export const mebibyte = 2 ** 20;

export interface BenchGuestOptions {
  readonly folder: string;
  /** In MiB; half of it is filled. */
  readonly memory: number;
  readonly disks: readonly CounterDisk[];
  /** Ticks per second, at most. */
  readonly rate: number;
  /** Whether its ticks are timed; not for one that is started again from a point. */
  readonly clock?: boolean;
}

/** How long a guest stood still, in ms. */
export interface Stall {
  /** Between QEMU's events; undefined when there was no pause. */
  readonly pause: number | undefined;
  /** The longest time between two ticks. */
  readonly seen: number;
}

/** A second QMP socket, since one serves one program at a time. */
export async function control(guest: { readonly folder: string }): Promise<Qmp> {
  return await Qmp.connect(path.join(guest.folder, "control"), { timeout: 600_000 });
}

export async function startBenchGuest(options: BenchGuestOptions): Promise<CounterGuest> {
  const { folder, memory, disks, rate, clock = false } = options;
  fs.mkdirSync(folder, { recursive: true });
  const second = ["-qmp", `unix:${path.join(folder, "control")},server=on,wait=off`];
  const guest = await startCounterGuest({
    folder,
    memory,
    disks,
    rate,
    args: [...second, ...(clock ? clockArguments(folder) : [])],
  });
  fillMemory(guest.pid, memory * mebibyte);
  return guest;
}

/** What `work` did to a guest whose ticks are timed. */
export async function stallOf(guest: CounterGuest, work: (qmp: Qmp) => Promise<void>): Promise<Stall> {
  await using qmp = await control(guest);
  const stops: number[] = [];
  const pauses: number[] = [];
  qmp.onEvent(({ event, time }) => {
    if (event === "STOP") stops.push(time);
    const stop = stops.at(-1);
    if (event === "RESUME" && stop !== undefined) pauses.push(time - stop);
  });
  await guest.ticks(5);
  const from = Date.now();
  await work(qmp);
  const to = Date.now();
  await guest.ticks(5);
  return { pause: pauses.length === 0 ? undefined : Math.max(...pauses), seen: longestGap(guest.folder, from, to) };
}

const page = 4096;
/** What is below is the guest's own. */
const firstFilled = 16 * mebibyte;
const mark = "STILLPNT";
const markAddress = 0x7e00;

/** Fills every second MiB with pages of half random bytes and half zeros, from outside: a guest of one sector would take minutes. */
function fillMemory(pid: number, size: number): void {
  const memory = fs.openSync(`/proc/${String(pid)}/mem`, "r+");
  try {
    const base = ramAddress(pid, memory, size);
    const content = Buffer.alloc(mebibyte);
    let state = 1;
    for (let at = firstFilled; at + mebibyte <= size; at += 2 * mebibyte) {
      for (let place = 0; place < mebibyte; place += 4) {
        if (place % page >= page / 2) continue;
        state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
        content.writeUInt32LE(state, place);
      }
      fs.writeSync(memory, content, 0, content.length, base + at);
    }
  } finally {
    fs.closeSync(memory);
  }
}

/** Where QEMU has the guest's RAM: a mapping of that size that holds the guest's record. */
function ramAddress(pid: number, memory: number, size: number): number {
  const found = Buffer.alloc(mark.length);
  for (const line of fs.readFileSync(`/proc/${String(pid)}/maps`, "utf8").split("\n")) {
    const [, from, to] = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line) ?? [];
    if (from === undefined || to === undefined) continue;
    const [begin, end] = [Number.parseInt(from, 16), Number.parseInt(to, 16)];
    if (end - begin < size) continue;
    for (const base of [begin, end - size]) {
      fs.readSync(memory, found, 0, found.length, base + markAddress);
      if (found.toString("latin1") === mark) return base;
    }
  }
  throw new Error("the guest's memory isn't to be found in QEMU's");
}
