/** A virtual machine restored to a folder goes on from there exactly where it was. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs";
import * as path from "node:path";
import { afterEach, expect, test } from "vitest";
import { threadedExecutor } from "../../src/job/threads.ts";
import { Qmp } from "../../src/qemu/qmp.ts";
import { BlobStore } from "../../src/repository/blobs/blob-store.ts";
import type { RecoveryPoint } from "../../src/repository/points/manifest.ts";
import { type RestoreOptions, restorePoint } from "../../src/restore/restore-point.ts";
import { restore } from "../helpers/capture.ts";
import { type CounterGuest, type CounterGuestOptions, startCounterGuest } from "../helpers/guest/counter-guest.ts";
import { contradictions, readMemoryRecord, readSerialCount } from "../helpers/guest/counter-record.ts";
import { waitFor } from "../helpers/guest/qemu.ts";
import { type SaveOptions, saveGuest } from "../helpers/guest/save-guest.ts";
import { VmSite } from "../helpers/guest/vm-site.ts";
import { listensAt } from "../helpers/listening.ts";
import { makeTestRepository } from "../helpers/repository.ts";
import { tempDir } from "../helpers/temp-dir.ts";

const guests: CounterGuest[] = [];
const launched: ChildProcess[] = [];

process.once("exit", () => {
  for (const child of launched) child.kill("SIGKILL");
});

afterEach(async () => {
  for (const child of launched.splice(0)) await end(child);
  for (const guest of guests.splice(0)) await guest.stop();
});

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill("SIGKILL");
  await once(child, "exit");
}

interface Restored {
  readonly folder: string;
  readonly point: RecoveryPoint;
  readonly guest: CounterGuest;
}

/** Captures a counter guest by hand, kills it, and restores the point. */
async function restored(
  options: CounterGuestOptions = {},
  how: Partial<RestoreOptions> = {},
  save: SaveOptions = {},
): Promise<Restored> {
  const guest = await startCounterGuest(options);
  guests.push(guest);
  await guest.ticks(30);
  const tested = await makeTestRepository();
  const point = await saveGuest(tested, guest, save);
  guest.process.kill("SIGKILL");
  const folder = path.join(await tempDir(), "a machine's folder");
  const report = await restore(tested, point, folder, how);
  expect(report).toMatchObject({ place: folder, complete: true, damaged: [], problems: [] });
  return { folder, point, guest };
}

function launch(folder: string, args: readonly string[] = [], env: Record<string, string> = {}): ChildProcess {
  const log = fs.openSync(path.join(folder, "launch.log"), "a");
  const child = spawn("setpriv", ["--pdeathsig", "KILL", path.join(folder, "launch.sh"), ...args], {
    cwd: "/",
    stdio: ["ignore", log, log],
    env: { ...process.env, ...env },
  });
  fs.closeSync(log);
  launched.push(child);
  return child;
}

/** The first and the last count on the serial line since the launch, when there are as many as wanted. */
async function counts(folder: string, child: ChildProcess, wanted = 20): Promise<number[]> {
  const serial = path.join(folder, "serial0.log");
  let lines: string[] = [];
  await waitFor("the restored guest's ticks", () => {
    if (child.exitCode !== null) throw new Error(fs.readFileSync(path.join(folder, "launch.log"), "utf8"));
    lines = fs.existsSync(serial) ? (fs.readFileSync(serial, "latin1").match(/^[0-9A-F]{8}$/gm) ?? []) : [];
    return lines.length >= wanted;
  });
  return lines.map((line) => Number.parseInt(line, 16));
}

const rawDisks = (folder: string): string[] => ["disk0", "disk1"].map((name) => path.join(folder, `disks/${name}.raw`));

test.each([
  ["in the background", {}, { background: true }],
  ["stopped", { disks: [{ format: "qcow2" }, { device: "ide-hd" }] }, { background: false }],
] as const)("saved %s, it goes on with the next tick, and memory and disks agree", async (_, options, save) => {
  const { folder, guest } = await restored(options, {}, save);
  const copies = { memory: path.join(folder, "memory/0.raw"), disks: rawDisks(folder), settings: guest.settings };
  expect(contradictions(copies)).toEqual([]);
  const { count } = readMemoryRecord(copies.memory);
  const child = launch(folder);
  const [first = 0, ...more] = await counts(folder, child);
  // It may have been captured between counting and printing.
  expect([count, count + 1]).toContain(first);
  expect(more).toEqual(more.map((__, index) => first + 1 + index));
  await end(child);
  expect(contradictions({ disks: rawDisks(folder), settings: guest.settings })).toEqual([]);
  expect(readSerialCount(path.join(folder, "serial0.log"))).toBeGreaterThan(count + 15);
});

test("-S stays at the instant, and can be left and entered again; resumed once, never a second time", async () => {
  const { folder } = await restored();
  for (const turn of [1, 2]) {
    const waiting = launch(folder, ["-S"]);
    await waitFor(`QMP in turn ${turn}`, () => listensAt(path.join(folder, "qmp.sock")));
    const qmp = await Qmp.connect(path.join(folder, "qmp.sock"));
    await waitFor("the state to be loaded", async () => {
      return (await qmp.execute<{ readonly status: string }>("query-status")).status === "paused";
    });
    if (turn === 2) await qmp.execute("cont");
    if (turn === 2) await counts(folder, waiting);
    const ended = once(waiting, "exit");
    await qmp.execute("quit").catch(() => undefined);
    await qmp.close();
    await ended;
    expect(readSerialCount(path.join(folder, "serial0.log")) > 0).toBe(turn === 2);
  }
  const again = launch(folder);
  expect((await once(again, "exit"))[0]).toBe(1);
  expect(fs.readFileSync(path.join(folder, "launch.log"), "utf8")).toContain("was resumed from here before");
  const before = readSerialCount(path.join(folder, "serial0.log"));
  fs.unlinkSync(path.join(folder, "serial0.log"));
  const cold = launch(folder, [], { STILLPOINT_COLD: "1" });
  const [first = 0] = await counts(folder, cold);
  expect(first).toBeGreaterThanOrEqual(before);
});

test("with disks as qcow2, and memory not captured, it boots", async () => {
  const { folder } = await restored({}, { format: "qcow2" }, { memory: false });
  expect(fs.readdirSync(path.join(folder, "disks")).toSorted()).toEqual(["disk0.qcow2", "disk1.qcow2"]);
  execFileSync("qemu-img", ["check", "-q", path.join(folder, "disks/disk0.qcow2")]);
  const [first = 0, second = 0] = await counts(folder, launch(folder), 2);
  expect(second).toBe(first + 1);
});

test("qcow2 with memory, a network card and a channel: the card is cut off, the channel is a socket", async () => {
  const args = `-netdev user,id=n0,hostfwd=tcp:127.0.0.1:0-:22 -device virtio-net-pci,netdev=n0 -device virtio-serial
    -chardev null,id=lost -chardev socket,id=agent,path=agent,server=on,wait=off
    -device virtserialport,chardev=agent,name=org.qemu.guest_agent.0 -device virtio-balloon-pci`.split(/\s+/);
  const { folder } = await restored({ args }, { format: "qcow2" });
  const child = launch(folder);
  await counts(folder, child, 3);
  expect(fs.statSync(path.join(folder, "channel0.sock")).isSocket()).toBe(true);
  const qmp = await Qmp.connect(path.join(folder, "qmp.sock"));
  expect(await qmp.hmp("info network")).toContain("restrict=on");
  await qmp.close();
});

const tap = process.getuid?.() === 0 && fs.existsSync("/dev/net/tun");

test.each<[string, string, Partial<CounterGuestOptions>]>([
  ["a q35 with several processors", "-smp 2 -device e1000 -nic user,model=virtio", { machine: "q35" }],
  ["RAM in a file descriptor", "-object memory-backend-memfd,id=m0,size=64M,share=on -machine memory-backend=m0", {}],
  [
    "two nodes, and room for more",
    `-object memory-backend-ram,id=m0,size=32M -object {"qom-type":"memory-backend-ram","id":"m1","size":33554432}
      -numa node,memdev=m0 -numa node,memdev=m1 -machine pc,usb=on`,
    {},
  ],
  [
    "video, sound, a CD drive, a floppy",
    "-vga std -audiodev none,id=audio -device intel-hda -device hda-duplex,audiodev=audio -device usb-ehci -drive if=ide,index=2,media=cdrom",
    {},
  ],
  ...(tap
    ? [
        ["a tap", "-netdev tap,id=n,script=no,downscript=no -device virtio-net-pci,netdev=n", {}] as [
          string,
          string,
          object,
        ],
      ]
    : []),
])("it goes on with %s", async (_, args, options) => {
  const { folder } = await restored({ ...options, args: args.split(/\s+/) });
  const { count } = readMemoryRecord(path.join(folder, "memory/0.raw"));
  const [first = 0, second = 0] = await counts(folder, launch(folder), 3);
  expect([count, count + 1]).toContain(first);
  expect(second).toBe(first + 1);
});

test("captured while it ran, in threads, each of several points resumes at its own instant", async () => {
  const site = await VmSite.make();
  const guest = await startCounterGuest({ disks: [{}, { format: "qcow2" }] });
  guests.push(guest);
  const points: RecoveryPoint[] = [];
  for (let turn = 0; turn < 2; turn++) {
    await guest.ticks(40);
    points.push((await site.capture(guest, {}, { executor: threadedExecutor })).point);
  }
  await guest.stop();
  const store = await BlobStore.load(site.repository);
  const firsts: number[] = [];
  for (const [number, point] of points.entries()) {
    const target = path.join(site.folder, `restored${number}`);
    const report = await restorePoint({ store, executor: threadedExecutor, point, target });
    expect(report).toMatchObject({ complete: true, problems: [] });
    const memory = path.join(target, "memory/0.raw");
    expect(contradictions({ memory, disks: rawDisks(target), settings: guest.settings })).toEqual([]);
    const { count } = readMemoryRecord(memory);
    const [first = 0] = await counts(target, launch(target), 5);
    expect([count, count + 1]).toContain(first);
    firsts.push(first);
  }
  expect(firsts[1]).toBeGreaterThan((firsts[0] ?? 0) + 30);
});
