/** What is stored of a guest's disks, against what qemu-img reads of them while the guest stands still. */
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs";
import * as path from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { StillpointError } from "../../src/errors.ts";
import { imageBlock } from "../../src/repository/format.ts";
import type { RecoveryPoint } from "../../src/repository/points/manifest.ts";
import { type CounterGuest, startCounterGuest } from "../helpers/guest/counter-guest.ts";
import { makeImage, waitFor } from "../helpers/guest/qemu.ts";
import { control, controlSocket, diskOf, VmSite } from "../helpers/guest/vm-site.ts";
import type { Qmp } from "../../src/qemu/qmp.ts";

const mib = 2 ** 20;

let site: VmSite;
let folder: string;
let guest: CounterGuest;
let qmp: Qmp;

beforeEach(async () => {
  site = await VmSite.make();
  folder = fs.mkdtempSync(path.join(site.folder, "guest-"));
  await start();
});

afterEach(async () => {
  await qmp.close();
  await guest.stop();
});

/** A guest that stands still, so that its disks stay as they are: disk0 raw, disk1 qcow2, and a SCSI controller. */
async function start(): Promise<void> {
  guest = await startCounterGuest({
    folder,
    memory: 32,
    disks: [{}, { format: "qcow2", size: 40 * mib }],
    args: [...controlSocket(folder), "-device", "virtio-scsi-pci,id=hot"],
  });
  qmp = await control(guest);
  await qmp.execute("stop");
}

/** Ends QEMU in good order. Its answer comes before it has written what it keeps in its images. */
async function quit(): Promise<void> {
  const ended = once(guest.process, "exit");
  await qmp.execute("quit").catch(() => undefined);
  await ended;
}

/** As the guest would write, through whatever is between its device and the image. */
async function guestWrites(disk: string, command: string): Promise<void> {
  const answer = await qmp.hmp(`qemu-io -d /machine/peripheral/${disk}/virtio-backend "${command}"`);
  if (/fail|error|invalid/i.test(answer)) throw new Error(answer);
}

async function capture(disks: "all" | readonly string[] = "all"): Promise<RecoveryPoint> {
  const { point, problems } = await site.capture(guest, { memory: false, disks });
  expect(problems).toEqual([]);
  return point;
}

async function expectContent(point: RecoveryPoint, name: string, image: string, format: string): Promise<void> {
  const reference = path.join(site.folder, "reference");
  execFileSync("qemu-img", ["convert", "-U", "-f", format, "-O", "raw", image, reference]);
  const captured = fs.readFileSync(await site.read(point, `disk/${name}`));
  expect(captured.equals(fs.readFileSync(reference))).toBe(true);
}

async function expectBoth(point: RecoveryPoint): Promise<void> {
  await expectContent(point, "disk0", guest.disks[0] ?? "", "raw");
  await expectContent(point, "disk1", guest.disks[1] ?? "", "qcow2");
}

test("writes, zeros and discards between two points are in the second, and little else is read", async () => {
  await expectBoth(await capture());
  await guestWrites("disk0", "write -P 0x11 5M 64k");
  await guestWrites("disk1", "write -P 0x22 3M 8M");
  await guestWrites("disk1", "write -P 0x33 39M 1M");
  const second = await capture();
  await expectBoth(second);
  expect(diskOf(second, "disk0")).not.toHaveProperty("reason");
  expect(diskOf(second, "disk0").read).toBeLessThan(8 * mib);
  expect(diskOf(second, "disk1").read).toBeGreaterThanOrEqual(9 * mib);
  await guestWrites("disk1", "write -z -u 4M 2M");
  await guestWrites("disk1", "discard 39M 1M");
  await guestWrites("disk0", "write -z 5M 64k");
  const third = await capture();
  await expectBoth(third);
  expect(diskOf(third, "disk1").reason).toBeUndefined();
});

test("a disk that was made larger is read as a whole", async () => {
  await capture();
  await qmp.execute("block_resize", { "node-name": "disk1", size: 41 * mib });
  await guestWrites("disk1", "write -P 0x44 40M 512k");
  const point = await capture();
  await expectBoth(point);
  expect(diskOf(point, "disk1")).toMatchObject({ size: 41 * mib, reason: "its size has changed" });
  expect(diskOf(point, "disk0")).not.toHaveProperty("reason");
});

test("a disk is plugged in, captured, and taken out again", async () => {
  await capture();
  const image = path.join(folder, "extra.qcow2");
  makeImage(image, "qcow2", 20 * mib, Buffer.alloc(mib, "extra"));
  const file = { driver: "file", filename: image };
  await qmp.execute("blockdev-add", { driver: "qcow2", "node-name": "extra", file });
  await qmp.execute("device_add", { driver: "scsi-hd", id: "extra-disk", drive: "extra", bus: "hot.0" });
  const point = await capture();
  expect(diskOf(point, "extra-disk")).toMatchObject({ format: "qcow2", file: image, part: "disk/extra-disk" });
  await expectContent(point, "extra-disk", image, "qcow2");
  expect(diskOf(await capture(), "extra-disk")).not.toHaveProperty("reason");
  await qmp.execute("device_del", { id: "extra-disk" });
  await waitFor("the disk to go", async () => {
    const blocks = await qmp.execute<readonly { inserted?: { "node-name": string } }[]>("query-block");
    return !blocks.some(({ inserted }) => inserted?.["node-name"] === "extra");
  });
  await qmp.execute("blockdev-del", { "node-name": "extra" });
  const after = await capture();
  expect(after.manifest.machine?.disks.map(({ name }) => name)).toEqual(["disk0", "disk1"]);
});

test("disks that aren't named are left out", async () => {
  const point = await capture(["disk1"]);
  expect(point.manifest.parts.map(({ name }) => name)).toEqual(["disk/disk1"]);
  expect(diskOf(point, "disk0")).toMatchObject({ part: null, bitmap: null });
});

test("qcow2 keeps its bitmap when QEMU ends in good order, raw does not", async () => {
  await capture();
  await guestWrites("disk1", "write -P 0x55 7M 1M");
  await quit();
  await start();
  const point = await capture();
  await expectBoth(point);
  expect(diskOf(point, "disk0").reason).toContain("QEMU was started anew");
  expect(diskOf(point, "disk1")).not.toHaveProperty("reason");
});

test("after QEMU was killed, everything is read", async () => {
  // A bitmap is only marked as in use in the image once it was stored there.
  await capture();
  await quit();
  await start();
  await capture();
  await guestWrites("disk1", "write -P 0x66 9M 1M");
  await guest.stop();
  await start();
  const point = await capture();
  await expectBoth(point);
  expect(diskOf(point, "disk1").reason).toMatch(/gone|inconsistent/);
});

test("a bitmap that is wrong is found out: everything is read, and somebody is told", async () => {
  const first = await capture();
  await guestWrites("disk1", "write -P 0x77 0 40M");
  await qmp.execute("block-dirty-bitmap-clear", { node: "disk1", name: diskOf(first, "disk1").bitmap });
  const { point, problems } = await site.capture(guest, { memory: false });
  expect(problems).toEqual([expect.any(StillpointError)]);
  expect(problems[0]?.message).toContain("The dirty bitmap of the disk disk1 is wrong");
  expect(diskOf(point, "disk1")).toMatchObject({ reason: expect.stringContaining("wrong") as string });
  await expectBoth(point);
});

test("what a point takes over is what its blocks are, not where they were", async () => {
  await guestWrites("disk1", `write -P 0x10 0 ${imageBlock}`);
  const first = await capture();
  await guestWrites("disk1", `write -P 0x20 0 ${imageBlock}`);
  await capture();
  await guestWrites("disk1", `write -P 0x10 0 ${imageBlock}`);
  const third = await capture();
  const root = ({ manifest }: RecoveryPoint): unknown =>
    manifest.parts.flatMap((part) => (part.name === "disk/disk1" && part.kind === "image" ? [part.root] : []))[0];
  expect(root(third)).toBe(root(first));
});
