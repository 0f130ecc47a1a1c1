/** A virtual machine runs again straight from a recovery point, at the captured instant. */
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs";
import * as path from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { systemClock } from "../../src/host/clock.ts";
import { Qmp } from "../../src/qemu/qmp.ts";
import { parseKeyFile } from "../../src/repository/keys/key-objects.ts";
import type { Machine } from "../../src/repository/points/machine.ts";
import type { RecoveryPoint } from "../../src/repository/points/manifest.ts";
import { openRepository } from "../../src/repository/repository.ts";
import { openStorage } from "../../src/storage/open.ts";
import { type CounterGuest, startCounterGuest } from "../helpers/guest/counter-guest.ts";
import { contradictions, readDiskRecord, readMemoryRecord, readSerialCount } from "../helpers/guest/counter-record.ts";
import { waitFor } from "../helpers/guest/qemu.ts";
import { type SaveOptions, saveGuest } from "../helpers/guest/save-guest.ts";
import { isRunning } from "../helpers/is-running.ts";
import { makeTestRepository } from "../helpers/repository.ts";
import { tempDir } from "../helpers/temp-dir.ts";
import { Host, isRoot, startStillpoint, stillpoint } from "./host.ts";

interface Booted {
  readonly boot: string;
  readonly id: string;
  readonly source: string;
  readonly pid: number;
  readonly qmp: string;
  readonly serial: readonly string[];
  readonly dir: string;
  readonly ready_seconds: number;
}

const host = new Host();
const memory = 64 * 1024 * 1024;
let guest: CounterGuest;
let point: RecoveryPoint;
/** What only some tests want: the same guest, described otherwise. */
const changed = new Map<string, RecoveryPoint>();

async function save(options?: SaveOptions): Promise<RecoveryPoint> {
  const address = { kind: "fs", location: "primary", path: host.path("repository") } as const;
  const secret = { type: "key-file", secret: parseKeyFile(fs.readFileSync(host.key, "utf8"), host.key) } as const;
  const storage = openStorage(address, { clock: systemClock });
  const repository = await openRepository({ storage, clock: systemClock, secret, address });
  return await saveGuest({ ...(await makeTestRepository()), repository }, guest, options);
}

const variants: Readonly<Record<string, SaveOptions>> = {
  "disks only": { memory: false },
  "no program": { change: (machine) => ({ ...machine, qemu: { ...machine.qemu, binary: "/usr/lib/qemu-from-mars" } }) },
  "no such machine": { change: (machine) => ({ ...machine, type: "pc-mars-1.0" }) },
  "other memory": { change: withAnotherMemory },
};

function withAnotherMemory(machine: Machine): Machine {
  return { ...machine, command: machine.command.map((word) => (word === "64" ? "80" : word)) };
}

beforeAll(async () => {
  host.set();
  fs.writeFileSync(host.path("disk.raw"), Buffer.alloc(1024 * 1024, 7));
  expect(host.run("run", "all").status).toBe(0);
  guest = await startCounterGuest({ disks: [{}, { format: "qcow2" }] });
  await guest.ticks(50);
  point = await save();
  for (const [name, options] of Object.entries(variants)) changed.set(name, await save(options));
  await guest.stop();
});

afterEach(() => {
  for (const { boot: name } of list()) expect(host.run("boot", "stop", name)).toMatchObject({ status: 0 });
  expectNothingLeft();
});
afterAll(() => host.remove());

/** Of machines that were booted, and of what serves them. */
const pids = new Set<number>();

function boot(id: string, ...args: string[]): Booted {
  const booted = host.json("boot", id, ...args) as Booted;
  pids.add(booted.pid).add(supervisorOf(booted));
  return booted;
}

function supervisorOf({ dir }: Booted): number {
  const record = JSON.parse(fs.readFileSync(path.join(dir, "boot.json"), "utf8")) as { supervisor: { pid: number } };
  return record.supervisor.pid;
}

function list(): (Booted & { readonly state: string })[] {
  return host.json("boot", "list") as (Booted & { readonly state: string })[];
}

function countOf({ serial }: Booted): number {
  return readSerialCount(serial[0] ?? "");
}

async function ticks(booted: Booted, more = 20): Promise<number> {
  const target = countOf(booted) + more;
  await waitFor(`count ${String(target)}`, () => countOf(booted) >= target);
  return countOf(booted);
}

/** Memory and disks of a stopped machine, as files. */
async function copiesOf({ qmp, dir }: Booted): Promise<{ memory: string; disks: string[] }> {
  const folder = await tempDir();
  await using monitor = await Qmp.connect(qmp, { timeout: 60_000 });
  expect(await monitor.execute("query-status")).toMatchObject({ running: false });
  await monitor.execute("pmemsave", { val: 0, size: memory, filename: path.join(folder, "ram") });
  const disks = [0, 1].map((number) => {
    const file = path.join(folder, `disk${String(number)}`);
    execFileSync("qemu-img", ["convert", "-U", "-O", "raw", path.join(dir, `disk${String(number)}.qcow2`), file]);
    return file;
  });
  return { memory: path.join(folder, "ram"), disks };
}

async function tell({ qmp }: Booted, command: string, args?: object): Promise<void> {
  await using monitor = await Qmp.connect(qmp, { timeout: 60_000 });
  await monitor.execute(command, args);
}

/** That keep the point from being forgotten. */
function notices(): string[] {
  return fs.readdirSync(host.path(`repository/readers/${point.id}`));
}

function expectNothingLeft(): void {
  const boots = host.path("state", "boots");
  expect(fs.existsSync(boots) ? fs.readdirSync(boots) : []).toEqual([]);
  expect(fs.readFileSync("/proc/mounts", "utf8")).not.toContain(host.folder);
  expect([...pids].filter(isRunning)).toEqual([]);
  pids.clear();
}

describe("a booted machine", () => {
  test("is paused at the instant, memory and disks of the same tick; then it goes on from there", async () => {
    const one = boot(point.id, "--paused");
    expect(one).toMatchObject({ id: point.id, source: "guest", ready_seconds: expect.any(Number) });
    const copies = await copiesOf(one);
    expect(contradictions(copies)).toEqual([]);
    const instant = readMemoryRecord(copies.memory).count;
    expect(countOf(one)).toBe(0);
    await tell(one, "cont");
    await ticks(one);
    const first = /^[0-9A-F]{8}$/m.exec(fs.readFileSync(one.serial[0] ?? "", "latin1"))?.[0] ?? "";
    expect(Number.parseInt(first, 16) - instant).toBeOneOf([0, 1, 2]);
    await tell(one, "stop");
    expect(contradictions(await copiesOf(one))).toEqual([]);
  });

  test("runs by itself, and a second one of the same point doesn't see it", async () => {
    const [one, other] = [boot(point.id), boot(point.id)];
    expect(one.dir).not.toBe(other.dir);
    expect(list().map(({ boot: name, state, pid }) => [name, state, isRunning(pid)])).toEqual([
      [one.boot, "running", true],
      [other.boot, "running", true],
    ]);
    expect(notices()).toHaveLength(2);
    await Promise.all([ticks(one, 100), ticks(other, 10)]);
    for (const booted of [one, other]) {
      await tell(booted, "stop");
      expect(contradictions(await copiesOf(booted))).toEqual([]);
    }
    const stopped = host.run("boot", "stop", one.boot);
    expect(stopped).toMatchObject({ status: 0, stdout: `${one.boot} has ended, and nothing is left of it.\n` });
    expect([isRunning(one.pid), fs.existsSync(one.dir), isRunning(other.pid)]).toEqual([false, false, true]);
    expect(notices()).toHaveLength(1);
    await tell(other, "cont");
    await ticks(other);
  });

  test("starts cold from its disks alone, and counts on from what they say", async () => {
    const one = boot(changed.get("disks only")?.id ?? "", "--cold", "--paused");
    const disks = [0, 1].map((number) => path.join(one.dir, `disk${String(number)}.qcow2`));
    const raw = path.join(await tempDir(), "raw");
    execFileSync("qemu-img", ["convert", "-U", "-O", "raw", disks[0] ?? "", raw]);
    await tell(one, "cont");
    expect(await ticks(one, 5)).toBeGreaterThan(readDiskRecord(raw).count);
  });

  test("keeps what it wrote when it was asked to, until it is stopped once more", async () => {
    const one = boot(point.id, "--keep");
    const count = await ticks(one);
    expect(host.run("boot", "stop", one.boot).stdout).toContain(one.dir);
    expect(list()).toMatchObject([{ boot: one.boot, state: "ended" }]);
    expect(fs.readFileSync(one.serial[0] ?? "", "latin1")).toContain(count.toString(16).toUpperCase().padStart(8, "0"));
    expect(host.run("boot", "stop", one.boot).stdout).toContain("its folder is removed");
  });

  test("is cleared away when the guest, or somebody with QMP, ends it", async () => {
    const one = boot(point.id);
    const supervisor = supervisorOf(one);
    await tell(one, "quit");
    await waitFor("the end", () => !isRunning(supervisor));
    expect(fs.existsSync(one.dir)).toBe(false);
    expect(list()).toEqual([]);
  });

  test("dies with the process that serves it, and the next boot clears up", async () => {
    const one = boot(point.id);
    process.kill(supervisorOf(one), "SIGKILL");
    await waitFor("QEMU's end", () => !isRunning(one.pid));
    expect(list()).toMatchObject([{ boot: one.boot, state: "ended" }]);
    const other = boot(point.id);
    expect(list()).toMatchObject([{ boot: other.boot, state: "running" }]);
    await ticks(other);
  });

  test("comes from any repository, with the key alone", async () => {
    const state = await tempDir();
    fs.cpSync(host.path("repository"), host.path("elsewhere"), { recursive: true });
    const flags = ["--repository", host.path("elsewhere"), "--key-file", host.key, "--state", state, "--json"];
    const one = JSON.parse(stillpoint(["boot", point.id, ...flags]).stdout) as Booted;
    expect(path.dirname(one.dir)).toBe(path.join(state, "boots"));
    await ticks(one);
    expect(stillpoint(["boot", "stop", one.boot.slice(0, 4), "--state", state]).status).toBe(0);
    expect(fs.readdirSync(path.join(state, "boots"))).toEqual([]);
  });

  test.runIf(isRoot)("loads its memory first where nothing may be mounted", async () => {
    const folder = await tempDir();
    fs.chmodSync(folder, 0o755);
    fs.cpSync(host.path("repository"), path.join(folder, "repository"), { recursive: true });
    fs.copyFileSync(host.key, path.join(folder, "key"));
    execFileSync("chown", ["-R", "nobody", folder]);
    const flags = ["--state", path.join(folder, "state"), "--json"];
    const from = ["--repository", path.join(folder, "repository"), "--key-file", path.join(folder, "key")];
    const started = stillpoint(["boot", point.id, "--paused", ...from, ...flags], { asNobody: true });
    expect(started).toMatchObject({ status: 0 });
    const one = JSON.parse(started.stdout) as Booted;
    expect(fs.existsSync(path.join(one.dir, "memory"))).toBe(false);
    fs.chmodSync(one.dir, 0o755);
    const ram = path.join(folder, "ram");
    await tell(one, "pmemsave", { val: 0, size: memory, filename: ram });
    await tell(one, "cont");
    await ticks(one);
    const first = /^[0-9A-F]{8}$/m.exec(fs.readFileSync(one.serial[0] ?? "", "latin1"))?.[0] ?? "";
    expect(Number.parseInt(first, 16) - readMemoryRecord(ram).count).toBeOneOf([0, 1, 2]);
    expect(stillpoint(["boot", "stop", one.boot, ...flags], { asNobody: true }).status).toBe(0);
  });
});

describe("nothing is left when it can't be booted:", () => {
  test.each<[string, () => string[], string, number]>([
    ["a point of a disk", () => ["latest", "--source", "disk"], "not of a virtual machine", 2],
    ["no such point", () => ["ffffffff"], "ffffffff", 1],
    ["a point without memory, not cold", () => [changed.get("disks only")?.id ?? ""], "Add --cold", 2],
    ["QEMU isn't installed", () => [changed.get("no program")?.id ?? ""], "/usr/lib/qemu-from-mars", 1],
    ["QEMU refuses its options", () => [changed.get("no such machine")?.id ?? ""], "unsupported machine type", 1],
    ["QEMU can't load the state", () => [changed.get("other memory")?.id ?? ""], "saying: ", 1],
  ])("%s", (_, args, words, status) => {
    const ended = host.run("boot", ...args());
    expect([ended.status, ended.stderr]).toEqual([status, expect.stringContaining(words)]);
    expectNothingLeft();
  });

  test("the state is damaged", () => {
    const broken = new Host();
    try {
      fs.cpSync(host.folder, broken.folder, { recursive: true });
      const packs = fs.readdirSync(broken.path("repository", "packs"), { recursive: true, encoding: "utf8" });
      for (const name of packs.filter((one) => /[0-9a-f]{64}$/.test(one))) {
        const file = broken.path("repository", "packs", name);
        const bytes = fs.readFileSync(file);
        bytes.fill(0x55, 48, Math.max(48, bytes.length - 20_000));
        fs.writeFileSync(file, bytes);
      }
      const ended = broken.run("boot", point.id);
      expect([ended.status, ended.stderr]).toEqual([4, expect.stringContaining("stillpoint: ")]);
      expect(fs.readdirSync(broken.path("state", "boots"))).toEqual([]);
      expect(fs.readFileSync("/proc/mounts", "utf8")).not.toContain(broken.folder);
    } finally {
      broken.remove();
    }
  });

  test("whoever asked for it thinks better of it", async () => {
    for (const after of [150, 350, 450, 550, 650]) {
      const child = startStillpoint(["boot", point.id, "--config", host.config]);
      let ended = false;
      const end = once(child, "close").then(() => (ended = true));
      await systemClock.sleep(after);
      child.kill("SIGINT");
      await end;
      expect(ended).toBe(true);
      for (const { boot: name } of list()) host.run("boot", "stop", name);
      expectNothingLeft();
    }
  });
});
