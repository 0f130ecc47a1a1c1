/** The guests themselves: the other tests of virtual machines stand on them. */
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs";
import { afterEach, expect, test } from "vitest";
import { Qmp } from "../../src/qemu/qmp.ts";
import { findQemu } from "../../src/qemu/qmp-peer.ts";
import { type CounterGuest, startCounterGuest } from "../helpers/guest/counter-guest.ts";
import { startLinuxGuest } from "../helpers/guest/linux-guest.ts";
import type { Guest } from "../helpers/guest/qemu.ts";
import { contradictions, readDiskRecord, readMemoryRecord } from "../helpers/guest/counter-record.ts";

const guests: Guest[] = [];

async function start(options: Parameters<typeof startCounterGuest>[0] = {}): Promise<CounterGuest> {
  const guest = await startCounterGuest(options);
  guests.push(guest);
  return guest;
}

afterEach(async () => {
  for (const guest of guests.splice(0)) await guest.stop();
});

async function saveMemory(qmp: Qmp, file: string): Promise<string> {
  await qmp.execute("pmemsave", { val: 0, size: 64 * 1024 * 1024, filename: file });
  return file;
}

test("the counter guest is of one instant while it is stopped, at whatever moment, and not when copies are of two", async () => {
  const guest = await start({ rate: 1000, settings: { pages: 256, sectors: 64 } });
  const copies = { disks: guest.disks, settings: guest.settings };
  await using qmp = await Qmp.connect(guest.qmp, { timeout: 60_000 });
  const memories: string[] = [];
  for (let turn = 0; turn < 5; turn += 1) {
    await guest.ticks(30 + 7 * turn);
    await qmp.execute("stop");
    const memory = await saveMemory(qmp, `${guest.folder}/memory${String(turn)}`);
    expect(contradictions({ ...copies, memory })).toEqual([]);
    expect(contradictions(copies)).toEqual([]);
    memories.push(memory);
    await qmp.execute("cont");
  }
  // The one that was under way when it was stopped last, and another.
  await guest.ticks(2);
  await qmp.execute("stop");
  expect(readMemoryRecord(memories[4] ?? "").count).toBeGreaterThan(readMemoryRecord(memories[0] ?? "").count + 100);
  for (const memory of memories) expect(contradictions({ ...copies, memory })).not.toEqual([]);
});

test("one disk of another instant, one old page, one old sector: each is noticed", async () => {
  const guest = await start({ rate: 1000, settings: { pages: 64, sectors: 16 } });
  await using qmp = await Qmp.connect(guest.qmp, { timeout: 60_000 });
  await guest.ticks(20);
  await qmp.execute("stop");
  const old = `${guest.folder}/old`;
  fs.copyFileSync(guest.disks[1] ?? "", old);
  await qmp.execute("cont");
  await guest.ticks(20);
  await qmp.execute("stop");
  const memory = await saveMemory(qmp, `${guest.folder}/memory`);
  const { settings, disks } = guest;
  expect(contradictions({ memory, disks, settings })).toEqual([]);
  expect(contradictions({ disks: [disks[0] ?? "", old], settings }).join()).toContain("the disks are at");
  expect(contradictions({ memory, disks: [disks[0] ?? "", old], settings }).join()).toContain("disk 1 at");
  const damaged = `${guest.folder}/damaged`;
  fs.copyFileSync(memory, damaged);
  const fd = fs.openSync(damaged, "r+");
  fs.writeSync(fd, Buffer.alloc(4), 0, 4, 0x20_0000 + 33 * 4096);
  fs.closeSync(fd);
  expect(contradictions({ memory: damaged, disks, settings })).toHaveLength(1);
  const disk = fs.openSync(old, "r+");
  fs.writeSync(disk, fs.readFileSync(disks[1] ?? "").subarray(512, 1024), 0, 512, 512);
  fs.closeSync(disk);
  expect(contradictions({ disks: [disks[0] ?? "", old], settings }).join()).toContain("log sector");
});

test("with qcow2, other controllers and more disks, it counts as well, and after a cold start goes on from its disk", async () => {
  const disks = [{ format: "qcow2", device: "ide-hd" }, { device: "scsi-hd" }, {}] as const;
  // The log is within what the image has from the beginning: a QEMU that is killed may not have written what it has added to it.
  const settings = { pages: 1024, sectors: 64 };
  const guest = await start({ disks, settings });
  await guest.ticks(10);
  expect((await findQemu(guest.qmp)).pid).toBe(guest.pid);
  guest.process.kill("SIGKILL");
  await once(guest.process, "exit");
  const raw = guest.disks.map((disk, number) => {
    const file = `${guest.folder}/raw${String(number)}`;
    execFileSync("qemu-img", ["convert", "-O", "raw", disk, file]);
    return file;
  });
  expect(contradictions({ disks: raw, settings })).toEqual([]);
  const { count } = readDiskRecord(raw[0] ?? "");
  fs.unlinkSync(guest.serial);
  const again = await start({ disks, settings, folder: guest.folder });
  const [first = ""] = /^[0-9A-F]{8}$/m.exec(fs.readFileSync(again.serial, "latin1")) ?? [];
  expect(Number.parseInt(first, 16)).toBe(count + 1);
});

test("the Linux guest counts on its ext4, and goes on from there when it is started again", async () => {
  const guest = await startLinuxGuest();
  guests.push(guest);
  await guest.ticks(3);
  guest.process.kill("SIGKILL");
  await once(guest.process, "exit");
  const count = guest.count();
  fs.unlinkSync(guest.serial);
  const again = await startLinuxGuest({ folder: guest.folder });
  guests.push(again);
  const [, first] = /^tick ([0-9]+)$/m.exec(again.lines().join("\n")) ?? [];
  // It may have stored one more than it had printed.
  expect(Number(first)).toBeOneOf([count + 1, count + 2]);
  const text = execFileSync("/sbin/debugfs", ["-R", "cat count", again.disks[0] ?? ""], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  expect(Number(text.toString())).toBeGreaterThan(count);
});
