/**
 * Not one inconsistent point: guests captured at random moments under load, every point compared with itself to the tick, and booted.
 * Some dozens here; scripts/nightly.sh makes hundreds, and boots them all.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import * as fs from "node:fs";
import * as path from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterEach, expect, test } from "vitest";
import type { RecoveryPoint } from "../../src/repository/points/manifest.ts";
import { startCounterGuest } from "../helpers/guest/counter-guest.ts";
import { contradictions, readMemoryRecord } from "../helpers/guest/counter-record.ts";
import {
  type Messages,
  readMessages,
  startMessengers,
  unsentMessages,
  untilReceived,
} from "../helpers/guest/messenger.ts";
import { clockArguments, longestGap } from "../helpers/guest/guest-clock.ts";
import { startLinuxGuest } from "../helpers/guest/linux-guest.ts";
import type { Guest } from "../helpers/guest/qemu.ts";
import { VmSite } from "../helpers/guest/vm-site.ts";
import { seededRandom } from "../helpers/seeded-random.ts";
import { Booted } from "./booted.ts";

/** How many points are made of the guest that counts to the tick, and how many of all points are booted at least. */
const points = Number(process.env["STILLPOINT_POINTS"] ?? 24);
const boots = Number(process.env["STILLPOINT_BOOTS"] ?? 2);
/** Linux ticks slowly, and takes its time. */
const linuxPoints = Math.ceil(points / 6);

const guests: Guest[] = [];
const loads: ChildProcess[] = [];

afterEach(async () => {
  for (const load of loads.splice(0)) load.kill("SIGKILL");
  for (const guest of guests.splice(0)) await guest.stop();
});

/** Keeps a processor of the host busy, for a while that the caller ends. */
function busy(): ChildProcess {
  const load = spawn("setpriv", ["--pdeathsig", "KILL", "sh", "-c", "while :; do :; done"], { stdio: "ignore" });
  loads.push(load);
  return load;
}

/** Whether this one of `of` points is among those that are booted, evenly spread. */
function isBooted(number: number, of: number): boolean {
  return number % Math.max(1, Math.floor(of / boots)) === 0;
}

async function* randomMoments(count: number): AsyncGenerator<number> {
  const random = seededRandom(11);
  for (let number = 0; number < count; number++) {
    const load = number % 3 === 2 ? busy() : undefined;
    await setTimeout(random.fraction() * 150);
    yield number;
    load?.kill("SIGKILL");
  }
}

async function copiesOf(site: VmSite, point: RecoveryPoint): Promise<{ memory: string; disks: string[] }> {
  const disks = [await site.read(point, "disk/disk0"), await site.read(point, "disk/disk1")];
  return { memory: await site.readMemory(point), disks };
}

function remove(copies: { readonly memory: string; readonly disks: readonly string[] }): void {
  for (const file of [copies.memory, ...copies.disks]) fs.rmSync(file);
}

const memory = 32;

test(`memory and both disks agree to the tick in ${String(points)} points`, {
  timeout: 60_000 + points * 30_000,
}, async () => {
  const site = await VmSite.make();
  const guest = await startCounterGuest({ memory, rate: 1000, disks: [{}, { format: "qcow2" }] });
  guests.push(guest);
  const { settings } = guest;
  let last = 0;
  for await (const number of randomMoments(points)) {
    const { point, problems } = await site.capture(guest);
    expect(problems).toEqual([]);
    const copies = await copiesOf(site, point);
    expect(contradictions({ ...copies, settings }), `point ${String(number)}`).toEqual([]);
    const { count } = readMemoryRecord(copies.memory);
    expect(count).toBeGreaterThan(last);
    last = count;
    remove(copies);
    if (isBooted(number, points)) await expectToCountOn(site, point, count);
  }
});

/** It goes on with the tick after the captured one, or with what was left of that. */
async function expectToCountOn(site: VmSite, point: RecoveryPoint, count: number): Promise<void> {
  const booted = Booted.start(site, point);
  try {
    const lines = await booted.printed(20);
    const counts = lines.filter((line) => /^[0-9A-F]{8}$/.test(line)).map((line) => Number.parseInt(line, 16));
    expect(counts[0]).toBeOneOf([count, count + 1]);
    expect(counts).toEqual(counts.map((_, number) => (counts[0] ?? 0) + number));
    const copies = await booted.freeze(memory * 2 ** 20, 2);
    expect(contradictions(copies)).toEqual([]);
    remove(copies);
  } finally {
    booted.stop();
  }
}

test(`an ext4 is clean in ${String(linuxPoints)} points, and Linux counts on`, {
  timeout: 60_000 + points * 30_000,
}, async () => {
  const site = await VmSite.make();
  const guest = await startLinuxGuest({ memory: 128 });
  guests.push(guest);
  for await (const number of randomMoments(linuxPoints)) {
    await guest.ticks(1);
    const { point } = await site.capture(guest);
    const disk = await site.read(point, "disk/disk0");
    const count = countOnDisk(disk);
    fs.rmSync(disk);
    if (!isBooted(number, linuxPoints)) continue;
    const booted = Booted.start(site, point);
    try {
      const ticks = (await booted.printed(4)).flatMap((line) => /^tick ([0-9]+)$/.exec(line)?.[1] ?? []).map(Number);
      // It writes the count, syncs, and prints it. In the moment before, the file is empty.
      expect(ticks[0]).toBeOneOf(count === undefined ? ticks : [count, count + 1]);
      expect(ticks).toEqual(ticks.map((_, tick) => (ticks[0] ?? 0) + tick));
    } finally {
      booted.stop();
    }
  }
});

/** Replays the journal, as a mount would, and has everything checked; the count in the file system. */
function countOnDisk(disk: string): number | undefined {
  const run = (program: string, ...args: string[]): string =>
    execFileSync(program, [...args, disk], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  run("/sbin/e2fsck", "-y", "-E", "journal_only");
  run("/sbin/e2fsck", "-f", "-n");
  const text = run("/sbin/debugfs", "-R", "cat count").trim();
  return text === "" ? undefined : Number(text);
}

async function messagesOf(site: VmSite, point: RecoveryPoint): Promise<Messages> {
  const file = await site.readMemory(point);
  const messages = readMessages(file);
  fs.rmSync(file);
  return messages;
}

test("of two guests captured together, neither has received a message that the other has not sent", async () => {
  const site = await VmSite.make();
  const [one, two] = await startMessengers();
  guests.push(one, two);
  const last = { one: 0, two: 0 };
  for await (const number of randomMoments(Math.ceil(points / 3))) {
    const reports = await site.captureTogether({ one: site.source(one), two: site.source(two) });
    const [first, second] = reports.map(({ point }) => point);
    if (first === undefined || second === undefined) throw new Error("there is no point of each");
    const messages = { one: await messagesOf(site, first), two: await messagesOf(site, second) };
    expect(unsentMessages(messages.one, messages.two), `points ${String(number)}`).toEqual([]);
    expect(messages.one.received).toBeGreaterThan(last.one);
    expect(messages.two.received).toBeGreaterThan(last.two);
    Object.assign(last, { one: messages.one.received, two: messages.two.received });
    await untilReceived([one, two], 1);
  }
});

test("of two guests captured one after the other, the second has received what the first had not sent", async () => {
  const site = await VmSite.make();
  const [one, two] = await startMessengers();
  guests.push(one, two);
  const { point: first } = await site.capture(one);
  // More than what the first is ever ahead of the second.
  await untilReceived([two], 100);
  const { point: second } = await site.capture(two);
  const messages = [await messagesOf(site, first), await messagesOf(site, second)] as const;
  expect(unsentMessages(...messages).join()).toMatch(/^the second has received [0-9]+, of [0-9]+ sent$/);
});

test("the guest's ticks, by the host's clock, show at least the pause that the point tells of", async () => {
  const site = await VmSite.make();
  const folder = fs.mkdtempSync(path.join(site.folder, "guest-"));
  const guest = await startCounterGuest({ folder, memory, args: clockArguments(folder) });
  guests.push(guest);
  for await (const _ of randomMoments(3)) {
    await guest.ticks(3);
    const { point } = await site.capture(guest);
    await guest.ticks(3);
    const begin = Date.parse(point.manifest.time);
    const pause = point.manifest.machine?.pause ?? 0;
    expect(pause).toBeGreaterThan(0);
    // The manifest's time is in whole milliseconds.
    expect(longestGap(folder, begin, begin + pause) + 1).toBeGreaterThanOrEqual(pause);
  }
});
