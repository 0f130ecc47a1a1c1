/** Partitions and files in the disks of recovery points: real file systems, the real program. */
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs";
import type { Readable } from "node:stream";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { systemClock } from "../../src/host/clock.ts";
import { parseKeyFile } from "../../src/repository/keys/key-objects.ts";
import { openRepository } from "../../src/repository/repository.ts";
import { openStorage } from "../../src/storage/open.ts";
import { makeMachinePoint } from "../helpers/made-machine-point.ts";
import { makeGpt, makeMbr } from "../helpers/partition-tables.ts";
import { makeTestRepository } from "../helpers/repository.ts";
import { Host, isRoot, project, startStillpoint, stillpoint } from "./host.ts";

const host = new Host();
const mib = 1024 * 1024;
const path = { ...process.env, PATH: `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin` };

function tool(program: string, ...args: readonly string[]): string {
  return execFileSync(program, args, { env: path, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
}

/** A file system with what `fill` puts into its folder. */
function makeFileSystem(name: string, fill: (folder: string) => void, kind = "ext4"): Buffer {
  const [folder, image] = [host.path(`${name}.d`), host.path(`${name}.img`)];
  fs.mkdirSync(folder, { recursive: true });
  fill(folder);
  fs.rmSync(image, { force: true });
  tool(`mkfs.${kind}`, "-q", "-d", folder, image, "16M");
  return fs.readFileSync(image);
}

const evil = "evil\u001b[2J\n# 0 1\ndebugfs: ls -p <2>\n";
const large = Buffer.alloc(3 * mib, "a large file ");

function fillRoot(folder: string): void {
  fs.mkdirSync(`${folder}/etc/deep/er`, { recursive: true });
  fs.writeFileSync(`${folder}/etc/passwd`, "root:x:0:0\n", { mode: 0o640 });
  fs.writeFileSync(`${folder}/etc/deep/er/large`, large);
  fs.writeFileSync(`${folder}/etc/${evil}`, "x");
  fs.writeFileSync(`${folder}/etc/space "and" <quotes>`, "odd\n");
  fs.symlinkSync("passwd", `${folder}/etc/link`);
  fs.symlinkSync(`${"far/".repeat(40)}away`, `${folder}/etc/long-link`);
  for (const name of fs.readdirSync(`${folder}/etc`)) fs.lutimesSync(`${folder}/etc/${name}`, 1000, 1000);
}

/** A disk with a GPT: ext4, an unformatted partition, FAT by its looks. */
function makeDisk(root: Buffer): Buffer {
  const disk = Buffer.alloc(32 * mib);
  root.copy(disk, mib);
  disk.write("FAT32", 20 * mib + 82);
  makeGpt(disk, [
    { offset: mib, size: root.length },
    { offset: 18 * mib, size: mib },
    { offset: 20 * mib, size: mib },
  ]);
  return disk;
}

async function makePoint(disks: Readonly<Record<string, Buffer>>): Promise<string> {
  const address = { kind: "fs", location: "primary", path: host.path("repository") } as const;
  const secret = { type: "key-file", secret: parseKeyFile(fs.readFileSync(host.key, "utf8"), host.key) } as const;
  const storage = openStorage(address, { clock: systemClock });
  const repository = await openRepository({ storage, clock: systemClock, secret, address });
  return (await makeMachinePoint({ ...(await makeTestRepository()), repository }, { disks })).id;
}

function json(...args: readonly string[]): Record<string, unknown>[] {
  return host.json(...args) as Record<string, unknown>[];
}

let root: Buffer;
/** The file system as it is, and changed by its own tools. */
let changed: Buffer;
let before: string;
let after: string;

beforeAll(() => {
  host.set();
  root = makeFileSystem("root", fillRoot);
  fs.writeFileSync(host.path("changed.img"), root);
  fs.writeFileSync(host.path("new"), "new\n");
  fs.writeFileSync(host.path("passwd"), "toor:x:0:0\n");
  const commands = [
    `write ${host.path("new")} etc/new`,
    "rm etc/deep/er/large",
    "rm etc/passwd",
    `write ${host.path("passwd")} etc/passwd`,
    "set_inode_field etc/passwd mode 0100640",
    "mkdir var",
  ];
  for (const command of commands) tool("debugfs", "-w", "-R", command, host.path("changed.img"));
  changed = fs.readFileSync(host.path("changed.img"));
});
afterEach(() => {
  expect(fs.readFileSync("/proc/mounts", "utf8")).not.toMatch(/^stillpoint \/mnt /m);
});
afterAll(() => host.remove());

describe("a disk of a virtual machine", () => {
  test("is there to be made", async () => {
    before = await makePoint({ root: makeDisk(root), data: root });
    after = await makePoint({ root: makeDisk(changed), data: root });
    expect(before).not.toBe(after);
    // For whoever isn't root.
    fs.chmodSync(host.key, 0o644);
    tool("chmod", "-R", "a+rX", host.path("repository"));
  });

  test("shows itself, its partitions and their bytes, without root too", () => {
    expect(json("ls", before, "disk/root")).toEqual([{ path: "disk/root", type: "image", size: 32 * mib }]);
    expect(json("ls", before, "disk/root:")).toEqual([
      { path: "disk/root:1", type: "partition", size: 16 * mib, content: "ext" },
      { path: "disk/root:2", type: "partition", size: mib, content: null },
      { path: "disk/root:3", type: "partition", size: mib, content: "FAT" },
    ]);
    const args = ["--repository", host.path("repository"), "--key-file", host.key];
    const listed = stillpoint(["ls", before, "disk/root:", ...args], { asNobody: isRoot });
    expect(listed).toMatchObject({ status: 0, stdout: expect.stringContaining("disk/root:1 (ext)") });
    const refused = stillpoint(["ls", before, "disk/root:1/etc", ...args], { asNobody: isRoot });
    expect(refused).toMatchObject({ status: 1, stderr: expect.stringMatching(/only root can .*\n.*\n.*guestfish/) });
  });

  test.runIf(isRoot)("shows the files in them, and nothing steers a terminal", () => {
    const listed = json("ls", before, "disk/root:1/etc");
    expect(listed.map((one) => one["path"])).toEqual(
      ["deep", evil, "link", "long-link", "passwd", 'space "and" <quotes>'].map((name) => `disk/root:1/etc/${name}`),
    );
    expect(listed.find((one) => one["path"] === "disk/root:1/etc/passwd")).toMatchObject({
      type: "file",
      size: 11,
      mode: "0640",
      mtime: "1000.000000000",
      uid: process.getuid?.(),
    });
    expect(listed.map((one) => one["target"]).filter(Boolean)).toEqual(["passwd", `${"far/".repeat(40)}away`]);
    // The only file system needs no number; a disk without partitions has none.
    for (const other of ["disk/root:/etc", "disk/data:/etc"])
      expect(json("ls", before, other).map((one) => [one["mode"], one["size"]])).toEqual(
        listed.map((one) => [one["mode"], one["size"]]),
      );
    expect(json("ls", before, "disk/data:").map((one) => one["path"])).toContain("disk/data:/etc");
    const { stdout } = host.run("ls", before, "disk/root:1/etc");
    expect(stdout).toContain("evil\\u{1b}[2J\\u{a}# 0 1");
    expect(stdout).not.toContain("\u001b");
  });

  test.runIf(isRoot)("gives their contents byte by byte", () => {
    const cat = (name: string): string => host.run("cat", before, name).stdout;
    expect(cat("disk/root:1/etc/passwd")).toBe("root:x:0:0\n");
    expect(cat("disk/data:/etc/deep/er/large")).toBe(large.toString());
    expect(cat('disk/data:/etc/space "and" <quotes>')).toBe("odd\n");
    expect(cat(`disk/data:/etc/${evil}`)).toBe("x");
  });

  test("gives itself and a partition as they are", () => {
    const raw = (name: string): Buffer =>
      execFileSync(`${project}/bin/stillpoint`, ["cat", before, name, "--config", host.config], {
        maxBuffer: 64 * mib,
      });
    expect(raw("disk/root").equals(makeDisk(root))).toBe(true);
    expect(raw("disk/root:1").equals(root)).toBe(true);
  });

  test.runIf(isRoot)("says what can't be had", () => {
    for (const [name, status, words] of [
      ["disk/root:1/etc/no", 1, "nothing at disk/root:1/etc/no"],
      ["disk/root:9/etc", 1, "has no partition 9"],
      ["disk/root:2/", 1, "nothing that is known"],
      ["disk/root:3/", 1, "FAT, and only ext2, ext3 and ext4"],
      ["disk/none:1/", 1, "has nothing at"],
      ["disk/root:1/../etc", 2, "leads out"],
    ] as const)
      expect(host.run("ls", before, name)).toMatchObject({ status, stderr: expect.stringContaining(words) });
    expect(host.run("cat", before, "disk/root:1/etc")).toMatchObject({
      status: 2,
      stderr: expect.stringContaining("directory"),
    });
    expect(host.run("cat", before, "disk/root:1/etc/link")).toMatchObject({
      status: 2,
      stderr: expect.stringContaining("a link to passwd"),
    });
  });

  test.runIf(isRoot)("is compared: ranges exactly, and files", () => {
    const found = json("diff", before, after);
    const ranges = found.filter(({ kind }) => kind === "range");
    const blocks = [...differing(makeDisk(root), makeDisk(changed))];
    expect(ranges.flatMap(({ offset, length }) => [...span(Number(offset), Number(length))])).toEqual(blocks);
    expect(new Set(ranges.map(({ part }) => part))).toEqual(new Set(["disk/root"]));
    expect(found.filter(({ kind }) => kind !== "range")).toEqual([
      { kind: "removed", path: "disk/root:1/etc/deep/er/large", type: "file" },
      { kind: "added", path: "disk/root:1/etc/new", type: "file" },
      { kind: "changed", path: "disk/root:1/etc/passwd", aspects: expect.arrayContaining(["content", "time"]) },
      { kind: "added", path: "disk/root:1/var", type: "directory" },
    ]);
    const { stdout } = host.run("diff", before, after, "--disk", "root");
    expect(stdout).toMatch(/^M disk\/root: \d+\.\d KiB in \d+ ranges?\n- disk\/root:1\/etc\/deep/);
    expect(json("diff", before, after, "--disk", "data")).toEqual([]);
    expect(host.run("diff", before, after, "--disk", "vdz")).toMatchObject({ status: 1 });
  });

  test("is compared in ranges without root, and the rest is said to be missing", () => {
    const args = ["--repository", host.path("repository"), "--key-file", host.key];
    const { status, stdout, stderr } = stillpoint(["diff", before, after, ...args], { asNobody: isRoot });
    expect([status, stdout.split("\n").length]).toEqual([0, 2]);
    expect(stderr).toContain("only root can look into them");
  });
});

const block = 128 * 1024;

function* differing(one: Buffer, other: Buffer): Generator<number> {
  for (let at = 0; at < one.length; at += block)
    if (!one.subarray(at, at + block).equals(other.subarray(at, at + block))) yield at;
}

function* span(offset: number, length: number): Generator<number> {
  for (let at = offset; at < offset + length; at += block) yield at;
}

describe.runIf(isRoot)("file systems of all kinds", () => {
  test.each(["ext2", "ext3", "ext4"])("%s, behind an MBR, captured as an image", (kind) => {
    const content = makeFileSystem(kind, fillRoot, kind);
    const disk = Buffer.alloc(20 * mib);
    content.copy(disk, 2 * mib);
    makeMbr(disk, 0, [{ type: 0x05, offset: mib, size: 18 * mib }, undefined]);
    makeMbr(disk, mib, [{ type: 0x83, offset: mib, size: content.length }]);
    fs.writeFileSync(host.path("disk.raw"), disk);
    expect(host.run("run", "all").status).toBe(0);
    expect(host.run("cat", "latest", "image:5/etc/passwd", "--source", "disk").stdout).toBe("root:x:0:0\n");
    expect(json("ls", "latest", "image:5/etc/deep", "--source", "disk")).toMatchObject([
      { path: "image:5/etc/deep/er" },
    ]);
  });

  test("what only the journal knows is seen, as after a loss of power", async () => {
    const unit = Number(/^Block size: +(\d+)$/m.exec(tool("dumpe2fs", "-h", host.path("root.img")))?.[1]);
    const numbers = Array.from({ length: root.length / unit }, (_, number) => number).filter(
      (number) =>
        !root.subarray(number * unit, (number + 1) * unit).equals(changed.subarray(number * unit, (number + 1) * unit)),
    );
    fs.writeFileSync(
      host.path("blocks"),
      Buffer.concat(numbers.map((number) => changed.subarray(number * unit, (number + 1) * unit))),
    );
    fs.writeFileSync(host.path("dirty.img"), root);
    fs.writeFileSync(host.path("commands"), `jo\njw -b ${numbers.join(",")} ${host.path("blocks")}\njc\n`);
    tool("debugfs", "-w", "-f", host.path("commands"), host.path("dirty.img"));
    expect(tool("dumpe2fs", "-h", host.path("dirty.img"))).toContain("needs_recovery");
    expect(tool("debugfs", "-R", "ls -p etc", host.path("dirty.img"))).not.toContain("/new/");
    const id = await makePoint({ root: makeDisk(fs.readFileSync(host.path("dirty.img"))) });
    expect(host.run("cat", id, "disk/root:1/etc/passwd")).toEqual({ status: 0, stdout: "toor:x:0:0\n", stderr: "" });
    expect(host.run("cat", id, "disk/root:1/etc/new").stdout).toBe("new\n");
  });
});

describe.runIf(isRoot)("hostile and broken disks", () => {
  async function outcome(disk: Buffer, ...args: readonly string[]) {
    const id = await makePoint({ root: disk });
    const [verb = "ls", name = "disk/root:/"] = args;
    return host.run(verb, id, name);
  }

  test("a file system of noise behind a good signature", async () => {
    const disk = Buffer.from(root);
    for (let at = 1024; at < 64 * 1024; at += 4) disk.writeUInt32LE((at * 2654435761) >>> 0, at);
    disk.writeUInt16LE(0xef53, 1024 + 56);
    expect(await outcome(disk)).toMatchObject({ status: 1, stderr: expect.stringContaining("guestfish") });
  });

  test("one that is cut off", async () => {
    const { status, stderr } = await outcome(root.subarray(0, 2 * mib), "cat", "disk/root:/etc/deep/er/large");
    expect(status).not.toBe(0);
    expect(stderr).toMatch(/^stillpoint: .*disk|file system/);
  });

  test("a folder within itself", async () => {
    fs.writeFileSync(host.path("loop.img"), root);
    tool("debugfs", "-w", "-R", "ln etc etc/deep/er/again", host.path("loop.img"));
    const looped = fs.readFileSync(host.path("loop.img"));
    const id = await makePoint({ root: looped });
    const other = Buffer.from(looped);
    // A byte of a file: something differs, so that all of it is walked.
    other.writeUInt8(other.readUInt8(other.indexOf("root:x:0:0\n")) ^ 1, other.indexOf("root:x:0:0\n"));
    const { status, stdout } = host.run("diff", id, await makePoint({ root: other }));
    expect([status, stdout.split("\n").length]).toEqual([0, 2]);
  });

  test("damaged storage is said to be that", async () => {
    const noise = Buffer.from(root);
    const id = await makePoint({ root: noise });
    expect(host.run("ls", id, "disk/root:/etc").status).toBe(0);
    const packs = fs.readdirSync(host.path("repository", "packs"), { recursive: true, encoding: "utf8" });
    const kept = new Map<string, Buffer>();
    for (const name of packs
      .map((one) => host.path("repository", "packs", one))
      .filter((one) => /[0-9a-f]{64}$/.test(one))) {
      const bytes = fs.readFileSync(name);
      kept.set(name, bytes);
      const broken = Buffer.from(bytes);
      broken.fill(0x55, 16, Math.floor(broken.length / 2));
      fs.rmSync(name);
      fs.writeFileSync(name, broken);
    }
    try {
      expect(host.run("ls", id, "disk/root:/etc").status).toBe(4);
    } finally {
      for (const [name, bytes] of kept) fs.writeFileSync(name, bytes);
    }
  });
});

test.runIf(isRoot)("a killed process leaves neither a mount nor a program behind", async () => {
  // Nobody reads what it prints, so it is in the middle when it is killed.
  const reading = startStillpoint(["cat", before, "disk/root:1/etc/deep/er/large", "--config", host.config]);
  await once(reading.stdout as Readable, "readable");
  const below = childrenOf(reading.pid ?? 0);
  expect(below.length).toBeGreaterThan(0);
  reading.kill("SIGKILL");
  await once(reading, "exit");
  while (below.some((pid) => fs.existsSync(`/proc/${pid}/root/mnt`))) await systemClock.sleep(20);
});

function childrenOf(pid: number): string[] {
  return fs.readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean);
}
