/** Every kind of drive that a PC can have gets its point at the same instant: firmware's variables, floppies, sticks, … */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs";
import * as path from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Qmp } from "../../src/qemu/qmp.ts";
import type { RecoveryPoint } from "../../src/repository/points/manifest.ts";
import { BlobStore } from "../../src/repository/blobs/blob-store.ts";
import { inlineExecutor } from "../../src/repository/threads/executor.ts";
import { restorePoint } from "../../src/restore/restore-point.ts";
import { type CounterGuest, startCounterGuest } from "../helpers/guest/counter-guest.ts";
import { contradictions, readMemoryRecord, readSerialCount } from "../helpers/guest/counter-record.ts";
import { describeGuest } from "../helpers/guest/leftovers.ts";
import { commonArguments, type Guest, guestFolder, qemuMajor, startQemu, waitFor } from "../helpers/guest/qemu.ts";
import { rejection } from "../helpers/rejection.ts";
import { control, controlSocket, diskOf, VmSite } from "../helpers/guest/vm-site.ts";
import { whenReading } from "../helpers/guest/when-reading.ts";

const mib = 2 ** 20;

let site: VmSite;
let folder: string;
const guests: Guest[] = [];
const launched: ChildProcess[] = [];

process.once("exit", () => {
  for (const child of launched) child.kill("SIGKILL");
});

beforeEach(async () => {
  site = await VmSite.make();
  folder = fs.mkdtempSync(path.join(site.folder, "guest-"));
});

afterEach(async () => {
  for (const child of launched.splice(0)) {
    child.kill("SIGKILL");
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  }
  for (const guest of guests.splice(0)) await guest.stop();
});

function words(text: string): string[] {
  return text.split(" ");
}

function image(name: string, size: number): string {
  const file = path.join(folder, name);
  fs.writeFileSync(file, Buffer.alloc(size, 0x11));
  return file;
}

/** A drive by the name `id`, with something in it, and the device for it. */
function drive(id: string, device: string, size = mib): string[] {
  const file = { driver: "file", filename: image(id, size) };
  const node = JSON.stringify({ driver: "raw", "node-name": id, file });
  return ["-blockdev", node, "-device", `${device},id=${id},drive=${id}`];
}

/** Writes as the device does, through whatever is between it and the image. */
async function write(qmp: Qmp, device: string, pattern: string, at = 0): Promise<void> {
  expect(await qmp.hmp(`qemu-io -d ${device} "write -P ${pattern} ${String(at)} 4k"`)).toBe("");
}

/** The memory of flash, as it was captured. */
async function readFlash(point: RecoveryPoint, id: string): Promise<Buffer> {
  const number = point.manifest.machine?.memory?.blocks.findIndex((block) => block.id === id) ?? -1;
  return fs.readFileSync(await site.read(point, `memory/${String(number)}`));
}

/** What a machine with flash is started with; its firmware is the one that starts from a disk's first sector. */
const firmware = "if=pflash,unit=0,format=raw,readonly=on,file=/usr/share/seabios/bios-256k.bin";

test("devices whose drives are of many kinds: each disk as it was at the instant", async () => {
  const variables = image("variables", 528 * 1024);
  const args = [
    ...controlSocket(folder),
    ...words(`-drive ${firmware} -drive if=pflash,unit=1,format=raw,file=${variables}`),
    ...drive("ide", "ide-hd,bus=ide.0"),
    ...words("-device isa-fdc,id=controller"),
    ...drive("floppy", "floppy,bus=controller.0,drive-type=144", 1_474_560),
    ...words("-device virtio-scsi-pci,id=scsi-bus"),
    ...drive("scsi", "scsi-hd,bus=scsi-bus.0"),
    ...words("-device qemu-xhci,id=usb-bus"),
    ...drive("stick", "usb-storage,bus=usb-bus.0"),
    ...words("-device sdhci-pci"),
    ...drive("card", "sd-card"),
  ];
  const guest: CounterGuest = await startCounterGuest({ folder, memory: 32, machine: "q35", args });
  guests.push(guest);
  await using qmp = await control(guest);
  const before = await describeGuest(guest, site.spool);
  const names = "pflash1 ide floppy scsi stick card".split(" ");
  const devices = new Map(
    (await qmp.execute<{ device: string; qdev: string; inserted?: { "node-name": string } }[]>("query-block")).map(
      ({ device, qdev, inserted }) => [device === "" ? (inserted?.["node-name"] ?? "") : device, qdev],
    ),
  );
  const writeAll = async (pattern: string, at: number): Promise<void> => {
    for (const name of names) await write(qmp, devices.get(name) ?? "", pattern, at);
  };
  await writeAll("0x22", 64 * 1024);
  const { point, problems } = await site.capture(
    guest,
    {},
    { executor: whenReading(async () => await writeAll("0x33", 0)) },
  );
  expect(problems).toEqual([]);
  for (const name of names) {
    const content = fs.readFileSync(await site.read(point, `disk/${name}`));
    const wanted = Buffer.alloc(content.length, 0x11).fill(0x22, 64 * 1024, 68 * 1024);
    expect([name, content.equals(wanted)]).toEqual([name, true]);
    const now = fs.readFileSync(path.join(folder, name === "pflash1" ? "variables" : name));
    expect([name, now.equals(wanted.fill(0x33, 0, 4096))]).toEqual([name, true]);
    expect(diskOf(point, name)).toMatchObject({ read_only: false, bitmap: expect.any(String) as string });
  }
  // Its memory alone would have missed what was written past the firmware.
  const flash = await readFlash(point, "system.flash1");
  expect(flash.equals(fs.readFileSync(await site.read(point, "disk/pflash1")))).toBe(true);
  expect(point.manifest.machine?.disks.find(({ name }) => name === "pflash0")).toMatchObject({ read_only: true });
  const disks = [await site.read(point, "disk/disk0"), await site.read(point, "disk/disk1")];
  const memory = await site.readMemory(point);
  expect(contradictions({ memory, disks })).toEqual([]);
  await guest.ticks(5);
  expect(await describeGuest(guest, site.spool)).toEqual(before);
  const again = await site.capture(guest);
  expect(names.map((name) => diskOf(again.point, name).reason)).toEqual(names.map(() => undefined));
  await guest.stop();
  await expectToGoOn(point, readMemoryRecord(memory).count);
});

test("an NVMe drive, whose state QEMU can't save: refused with memory, captured without", async () => {
  const args = [...controlSocket(folder), ...drive("fast", "nvme,serial=1"), "-device", "nvme,id=bus,serial=2"];
  const guest = await startCounterGuest({ folder, memory: 32, args: [...args, ...drive("space", "nvme-ns,bus=bus")] });
  guests.push(guest);
  await using qmp = await control(guest);
  const before = await describeGuest(guest, site.spool);
  const error = await rejection(site.capture(guest));
  expect(error).toMatchObject({ code: "vm_refused", message: expect.stringContaining("(nvme)") as string });
  expect(await describeGuest(guest, site.spool)).toEqual(before);
  const executor = whenReading(async () => {
    for (const name of ["fast", "space"]) await write(qmp, name, "0x33");
  });
  const { point, problems } = await site.capture(guest, { memory: false }, { executor });
  expect(problems).toEqual([]);
  for (const name of ["fast", "space"]) {
    const content = fs.readFileSync(await site.read(point, `disk/${name}`));
    expect(content.equals(Buffer.alloc(mib, 0x11))).toBe(true);
    const now = fs.readFileSync(path.join(folder, name));
    expect(now.equals(Buffer.alloc(mib, 0x11).fill(0x33, 0, 4096))).toBe(true);
  }
  await guest.ticks(5);
  expect(await describeGuest(guest, site.spool)).toEqual(before);
});

const threads = words("-object iothread,id=one -object iothread,id=two");

test.runIf(qemuMajor() < 9)("disks that iothreads serve are refused; the others can be captured", async () => {
  const args = [
    ...threads,
    ...drive("block", "virtio-blk-pci,iothread=one"),
    ...words("-device virtio-scsi-pci,id=bus,iothread=two"),
    ...drive("scsi", "scsi-hd,bus=bus.0"),
  ];
  const guest = await startCounterGuest({ folder, memory: 32, args });
  guests.push(guest);
  for (const name of ["block", "scsi"]) {
    const error = await rejection(site.capture(guest, { disks: ["disk0", name] }));
    expect(error).toMatchObject({
      code: "vm_refused",
      message: expect.stringContaining(`disk ${name} is served`) as string,
    });
  }
  const { problems } = await site.capture(guest, { disks: ["disk0", "disk1"] });
  expect(problems).toEqual([]);
  await guest.ticks(5);
});

test.runIf(qemuMajor() >= 9)("disks that iothreads serve are of one instant with memory", async () => {
  const disks = [
    { device: "virtio-blk-pci,iothread=one" },
    { device: "virtio-blk-pci,iothread=two", format: "qcow2" },
  ] as const;
  const guest = await startCounterGuest({ folder, memory: 32, disks, args: threads });
  guests.push(guest);
  for (let turn = 0; turn < 5; turn++) {
    await guest.ticks(5);
    const { point, problems } = await site.capture(guest);
    expect(problems).toEqual([]);
    const images = [await site.read(point, "disk/disk0"), await site.read(point, "disk/disk1")];
    expect(contradictions({ memory: await site.readMemory(point), disks: images })).toEqual([]);
  }
  const [newest] = (await site.points()).toSorted((a, b) => b.time - a.time);
  if (newest === undefined) throw new Error("there is no point");
  const { count } = readMemoryRecord(await site.readMemory(newest));
  await guest.stop();
  await expectToGoOn(newest, count);
});

test("a device that QEMU refuses to save only when it is asked to: the guest goes on", async () => {
  const args = words("-device ich9-usb-ehci1,id=ehci -device usb-uas,bus=ehci.0");
  const guest = await startCounterGuest({ folder, memory: 32, args });
  guests.push(guest);
  const before = await describeGuest(guest, site.spool);
  const error = await rejection(site.capture(guest));
  expect(error).toMatchObject({ code: "vm_refused", message: expect.stringContaining("usb-uas") as string });
  await guest.ticks(5);
  expect(await describeGuest(guest, site.spool)).toEqual(before);
});

/** Restores the point, and sees the guest count on. */
async function expectToGoOn(point: RecoveryPoint, count: number): Promise<void> {
  const target = path.join(site.folder, "restored");
  const store = await BlobStore.load(site.repository);
  expect(await restorePoint({ store, executor: inlineExecutor, point, target })).toMatchObject({ complete: true });
  const log = path.join(target, "launch.log");
  const output = fs.openSync(log, "a");
  const child = spawn("setpriv", ["--pdeathsig", "KILL", path.join(target, "launch.sh")], {
    stdio: ["ignore", output, output],
  });
  fs.closeSync(output);
  launched.push(child);
  await waitFor("the restored guest's ticks", () => {
    if (child.exitCode !== null) throw new Error(fs.readFileSync(log, "utf8"));
    return readSerialCount(path.join(target, "serial0.log")) > count + 10;
  });
}

test("EFI firmware that writes its variables while it is captured: flash is the same in memory and on its disk", async () => {
  const variables = path.join(folder, "variables.fd");
  fs.copyFileSync("/usr/share/OVMF/OVMF_VARS_4M.fd", variables);
  const unused = fs.readFileSync(variables);
  const nodes = [
    {
      driver: "raw",
      "node-name": "code",
      "read-only": true,
      file: { driver: "file", filename: "/usr/share/OVMF/OVMF_CODE_4M.fd" },
    },
    { driver: "raw", "node-name": "variables", file: { driver: "file", filename: variables } },
  ];
  const args = [
    ...commonArguments(folder),
    ...words("-machine q35,pflash0=code,pflash1=variables -m 128"),
    ...nodes.flatMap((node) => ["-blockdev", JSON.stringify(node)]),
  ];
  const guest = await startQemu(guestFolder(folder), args, [variables]);
  guests.push(guest);
  await waitFor("the firmware's first variable", () => !fs.readFileSync(variables).equals(unused));
  for (let turn = 0; turn < 2; turn++) {
    const { point, problems } = await site.capture(guest);
    expect(problems).toEqual([]);
    const content = fs.readFileSync(await site.read(point, "disk/variables"));
    expect((await readFlash(point, "system.flash1")).equals(content)).toBe(true);
    expect(content.equals(unused)).toBe(false);
  }
});
