/** Guests that count in memory and on their disks in step: whatever was captured of them must be of one instant. */
import { setTimeout } from "node:timers/promises";
import * as fs from "node:fs";
import * as path from "node:path";
import { afterEach, expect, test } from "vitest";
import { threadedExecutor } from "../../src/job/threads.ts";
import type { RecoveryPoint } from "../../src/repository/points/manifest.ts";
import { type CounterGuest, type CounterGuestOptions, startCounterGuest } from "../helpers/guest/counter-guest.ts";
import { contradictions, readMemoryRecord } from "../helpers/guest/counter-record.ts";
import { describeGuest } from "../helpers/guest/leftovers.ts";
import { diskOf, VmSite } from "../helpers/guest/vm-site.ts";
import { rejection } from "../helpers/rejection.ts";
import { seededRandom } from "../helpers/seeded-random.ts";

const guests: CounterGuest[] = [];

afterEach(async () => {
  for (const guest of guests.splice(0)) await guest.stop();
});

async function start(options: CounterGuestOptions = {}): Promise<CounterGuest> {
  const guest = await startCounterGuest({ memory: 32, ...options });
  guests.push(guest);
  return guest;
}

/** How many points of a counting guest are made here; vm-consistency.test.ts makes many. */
const rounds = 4;

test("memory and both disks agree to the tick in every point, whenever it was captured", async () => {
  const site = await VmSite.make();
  const guest = await start({ disks: [{}, { format: "qcow2" }] });
  const before = await describeGuest(guest, site.spool);
  const random = seededRandom(7);
  let last = 0;
  for (let round = 0; round < rounds; round++) {
    await setTimeout(random.fraction() * 200);
    const { point, problems } = await site.capture(guest);
    expect(problems).toEqual([]);
    expect(point.manifest).toMatchObject({ consistency: "full-state", kind: "vm" });
    const disks = [await site.read(point, "disk/disk0"), await site.read(point, "disk/disk1")];
    const memory = await site.readMemory(point);
    expect(contradictions({ memory, disks })).toEqual([]);
    const { count } = readMemoryRecord(memory);
    expect(count).toBeGreaterThan(last);
    last = count;
    // Only the first is read as a whole.
    const reasons = ["disk0", "disk1"].map((name) => diskOf(point, name).reason);
    expect(reasons).toEqual(
      Array.from({ length: 2 }, () => (round === 0 ? "there is no earlier point to rely on" : undefined)),
    );
  }
  await guest.ticks(5);
  expect(await describeGuest(guest, site.spool)).toEqual(before);
});

test("threads store the same as one thread does", async () => {
  const site = await VmSite.make();
  const guest = await start();
  const { point } = await site.capture(guest, {}, { executor: threadedExecutor });
  const disks = [await site.read(point, "disk/disk0"), await site.read(point, "disk/disk1")];
  expect(contradictions({ memory: await site.readMemory(point), disks })).toEqual([]);
});

/** Memory that is made page by page at the first look. */
const preallocated: CounterGuestOptions = {
  memory: 640,
  args: ["-object", "memory-backend-ram,id=ram,size=640M,prealloc=on", "-machine", "memory-backend=ram"],
};

/** The image of the largest block of memory, whatever it is called. */
async function readLargest(site: VmSite, point: RecoveryPoint): Promise<string> {
  const sizes = point.manifest.machine?.memory?.blocks.map(({ size }) => size) ?? [];
  return await site.read(point, `memory/${String(sizes.indexOf(Math.max(...sizes)))}`);
}

test("a large guest is captured after a rehearsed save, and has its huge pages again", async ({ skip }) => {
  const site = await VmSite.make();
  const guest = await start(preallocated);
  const huge = hugeMemory(guest.pid);
  const { point, problems } = await site.capture(guest);
  expect(problems).toEqual([]);
  expect(point.manifest.machine?.method).toMatch(/^(late-stop|background)$/);
  expect(point.manifest.machine?.setup).toBeGreaterThan(0);
  const disks = [await site.read(point, "disk/disk0"), await site.read(point, "disk/disk1")];
  expect(contradictions({ memory: await readLargest(site, point), disks })).toEqual([]);
  await guest.ticks(5);
  if (huge === 0) skip("this host gives its guests no huge pages");
  expect(hugeMemory(guest.pid)).toBeGreaterThan(0.9 * huge);
});

/** What of a process's memory is in huge pages, in KiB. */
function hugeMemory(pid: number): number {
  const rollup = fs.readFileSync(`/proc/${String(pid)}/smaps_rollup`, "latin1");
  return Number(/^AnonHugePages:\s+([0-9]+) kB$/m.exec(rollup)?.[1]);
}

test("without memory, the disks are of one instant", async () => {
  const site = await VmSite.make();
  const guest = await start({ disks: [{}, { format: "qcow2" }, { device: "ide-hd" }] });
  const before = await describeGuest(guest, site.spool);
  for (let round = 0; round < 3; round++) {
    const { point } = await site.capture(guest, { memory: false });
    expect(point.manifest).toMatchObject({ consistency: "crash", machine: { method: "disks", memory: null } });
    const disks = await Promise.all(["disk0", "disk1", "disk2"].map((name) => site.read(point, `disk/${name}`)));
    expect(contradictions({ disks })).toEqual([]);
  }
  expect(await describeGuest(guest, site.spool)).toEqual(before);
});

test("memory that can't be saved while the guest runs is saved while it stands still, if that may take so long", async () => {
  const site = await VmSite.make();
  const folder = fs.mkdtempSync(path.join(site.folder, "guest-"));
  const object = `memory-backend-file,id=ram,size=32M,share=on,mem-path=${path.join(folder, "ram")}`;
  const guest = await start({ folder, args: ["-object", object, "-machine", "memory-backend=ram"] });
  const before = await describeGuest(guest, site.spool);
  expect(await rejection(site.capture(guest, { maxPause: 10 }))).toMatchObject({ code: "vm_refused" });
  const { point, problems } = await site.capture(guest);
  expect(problems).toEqual([]);
  expect(point.manifest.machine?.method).toBe("stopped");
  const disks = [await site.read(point, "disk/disk0"), await site.read(point, "disk/disk1")];
  const memory = await site.read(point, "memory/0");
  expect(contradictions({ memory, disks })).toEqual([]);
  await guest.ticks(5);
  expect(await describeGuest(guest, site.spool)).toEqual(before);
});

test("memory and four disks on four kinds of controllers agree", async () => {
  const site = await VmSite.make();
  const disks = [{}, { format: "qcow2" }, { device: "ide-hd" }, { device: "scsi-hd", format: "qcow2" }] as const;
  const guest = await start({ disks });
  for (let turn = 0; turn < 2; turn++) {
    const { point, problems } = await site.capture(guest);
    expect(problems).toEqual([]);
    const images: string[] = [];
    for (const number of disks.keys()) images.push(await site.read(point, `disk/disk${String(number)}`));
    expect(contradictions({ memory: await site.readMemory(point), disks: images })).toEqual([]);
  }
});

test("two guests captured together stood still at the same time", async () => {
  const site = await VmSite.make();
  const [one, two] = [await start(), await start()];
  const before = await Promise.all([describeGuest(one, site.spool), describeGuest(two, site.spool)]);
  const reports = await site.captureTogether({ one: site.source(one), two: site.source(two, { memory: false }) });
  const [first, second] = reports.map(({ point }) => point.manifest);
  expect(first?.group).toEqual({ id: expect.stringMatching(/^[0-9a-f]{32}$/), sources: ["one", "two"] });
  expect(second?.group).toEqual(first?.group);
  const span = (manifest: typeof first): [number, number] => {
    const begin = Date.parse(manifest?.time ?? "");
    return [begin - 1, begin + (manifest?.machine?.pause ?? 0) + 1];
  };
  const [begin, end] = [span(first), span(second)].reduce(([a, b], [c, d]) => [Math.max(a, c), Math.min(b, d)]);
  expect(begin).toBeLessThanOrEqual(end);
  for (const { point } of reports) {
    const disks = [await site.read(point, "disk/disk0"), await site.read(point, "disk/disk1")];
    const full = point.manifest.consistency === "full-state";
    expect(contradictions({ disks, ...(full && { memory: await site.readMemory(point) }) })).toEqual([]);
  }
  await Promise.all([one.ticks(3), two.ticks(3)]);
  expect(await Promise.all([describeGuest(one, site.spool), describeGuest(two, site.spool)])).toEqual(before);
});

test("large guests of a group are stopped late, each with a start of its own", async () => {
  const site = await VmSite.make();
  // Memory that takes long to look at.
  const memory = ["-object", "memory-backend-memfd,id=ram,size=640M,share=on", "-machine", "memory-backend=ram"];
  const [small, large] = [await start(), await start({ memory: 640, args: memory })];
  const sources = { small: site.source(small), large: site.source(large) };
  const reports = await site.captureTogether(sources);
  expect(reports.flatMap(({ problems }) => problems)).toEqual([]);
  for (const { point } of reports) {
    expect(point.manifest.machine?.method).toMatch(/^(late-stop|background)$/);
    const disks = [await site.read(point, "disk/disk0"), await site.read(point, "disk/disk1")];
    expect(contradictions({ memory: await readLargest(site, point), disks })).toEqual([]);
  }
  await Promise.all([small.ticks(3), large.ticks(3)]);
});

test("of a group in which one guest can't be captured, no point is committed, and the others go on", async () => {
  const site = await VmSite.make();
  const guest = await start();
  const waiting = await start({ args: ["-S"] });
  const before = await describeGuest(guest, site.spool);
  const error = await rejection(site.captureTogether({ good: site.source(guest), bad: site.source(waiting) }));
  expect(error).toMatchObject({ code: "vm_refused", message: expect.stringContaining("bad:") as string });
  expect(await site.points()).toEqual([]);
  await guest.ticks(3);
  expect(await describeGuest(guest, site.spool)).toEqual(before);
});
