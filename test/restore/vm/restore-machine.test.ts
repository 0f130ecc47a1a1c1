import { execFileSync, spawnSync } from "node:child_process";
import * as fs from "node:fs";
import * as path from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { parseStream } from "../../../src/qemu/stream/parse-stream.ts";
import type { Machine } from "../../../src/repository/points/machine.ts";
import type { Manifest } from "../../../src/repository/points/manifest.ts";
import { restore } from "../../helpers/capture.ts";
import { makeMachinePoint, type MadePoint } from "../../helpers/made-machine-point.ts";
import { madeHead, madeStream, type MadeStream, madeTail, named, u } from "../../helpers/migration-stream.ts";
import { rejection } from "../../helpers/rejection.ts";
import { makeTestRepository } from "../../helpers/repository.ts";
import { seededRandom } from "../../helpers/seeded-random.ts";
import { tempDir } from "../../helpers/temp-dir.ts";

const random = seededRandom(21);
const noise = (length: number): Buffer => random.bytes(length);
const zero = Buffer.alloc(4096);
const ram = Array.from({ length: 256 }, (_, page) => (page % 3 === 0 ? undefined : noise(4096)));
const rom = [noise(4096), undefined];
const saved: MadeStream = {
  blocks: [
    { id: "pc.ram", pages: ram },
    { id: "rom", pages: rom },
  ],
};
const disks = { vda: noise(200_000), vdb: Buffer.alloc(300_000) };
const full: MadePoint = {
  command: "-m 1 -net none -hda /images/vda -hdb /images/vdb -kernel /file",
  disks,
  files: { "-kernel": noise(5000) },
  stream: madeStream(saved),
};

const bytesOf = (pages: readonly (Buffer | undefined)[]): Buffer => Buffer.concat(pages.map((page) => page ?? zero));

async function restored(made: MadePoint, options: Parameters<typeof restore>[3] = {}) {
  const tested = await makeTestRepository();
  const point = await makeMachinePoint(tested, made);
  const target = path.join(await tempDir(), "restored");
  return { target, point, tested, report: await restore(tested, point, target, options) };
}

function read(folder: string, name: string): Buffer {
  return fs.readFileSync(path.join(folder, name));
}

/** What `launch.sh` would run: QEMU is replaced by a program that prints its arguments, a line for each. */
function launchedAs(target: string, args: readonly string[] = [], env: Record<string, string> = {}) {
  const bin = path.join(target, "..", "bin");
  fs.mkdirSync(bin, { recursive: true });
  const program = path.join(bin, "qemu-system-x86_64");
  fs.writeFileSync(program, '#!/bin/sh\npwd\nprintf "%s\\n" "$@"\n[ ! -e /dev/fd/3 ] || cat <&3 | wc -c\n', {
    mode: 0o755,
  });
  const script = path.join(target, "launch.sh");
  const text = fs.readFileSync(script, "utf8").replaceAll("qemu=/usr/bin/qemu-system-x86_64", `qemu=${program}`);
  const { mtime } = fs.statSync(script);
  fs.writeFileSync(script, text);
  fs.utimesSync(script, mtime, mtime);
  const { status, stdout, stderr } = spawnSync(script, args, {
    encoding: "utf8",
    cwd: "/",
    env: { ...process.env, ...env },
  });
  return { status, lines: stdout.split("\n"), stderr };
}

test("disks, memory, state, files and the script, each with what was captured", async () => {
  const { target, report } = await restored(full);
  expect(report).toMatchObject({ place: target, complete: true, problems: [] });
  const names = fs.readdirSync(target, { recursive: true }).map(String).toSorted();
  expect(names).toEqual(
    [
      "disks",
      "disks/vda.raw",
      "disks/vdb.raw",
      "files",
      "files/0",
      "launch.sh",
      "memory",
      "memory/0.raw",
      "state",
    ].toSorted(),
  );
  expect(read(target, "disks/vda.raw")).toEqual(disks.vda);
  expect(read(target, "disks/vdb.raw")).toEqual(disks.vdb);
  expect(fs.statSync(path.join(target, "disks/vdb.raw")).blocks).toBe(0);
  expect(read(target, "memory/0.raw")).toEqual(bytesOf(ram));
  expect(read(target, "files/0")).toEqual(full.files?.["-kernel"]);
  expect(fs.statSync(target).mode & 0o777).toBe(0o700);
});

test("the state holds all but the memory that comes from a file, and lets the machine run", async () => {
  const { target } = await restored(full);
  const state = read(target, "state");
  expect(state.subarray(0, madeHead(saved).length)).toEqual(madeHead(saved));
  expect(state.includes(rom[0] ?? zero)).toBe(true);
  expect(state.includes(ram[1] ?? zero)).toBe(false);
  const running = madeTail({ ...saved, state: "running" });
  expect(state.subarray(state.length - running.length)).toEqual(running);
});

test("the script runs the machine where it is, passes arguments on, and is safe from odd names of folders", async () => {
  const { target } = await restored(full);
  const moved = path.join(path.dirname(target), "it's $(here) \\ now");
  fs.renameSync(target, moved);
  const { lines, status } = launchedAs(moved, ["-S", "a b"]);
  expect(status).toBe(0);
  expect(lines[0]).toBe(fs.realpathSync(moved));
  expect(lines).toContain("files/0");
  expect(lines).toContain("index=0,media=disk,file=disks/vda.raw,format=raw");
  expect(lines.slice(-4)).toEqual(["-S", "a b", String(read(moved, "state").length), ""]);
});

test.each(["disks/vda.raw", "memory/0.raw"])(
  "once %s was written to, it isn't resumed again, but can be booted cold",
  async (name) => {
    const { target } = await restored(full);
    expect(launchedAs(target).status).toBe(0);
    fs.appendFileSync(path.join(target, name), "x");
    const again = launchedAs(target);
    expect(again).toMatchObject({ status: 1, lines: [""] });
    expect(again.stderr).toContain("was resumed from here before");
    const cold = launchedAs(target, [], { STILLPOINT_COLD: "1" });
    expect(cold.status).toBe(0);
    expect(cold.lines).not.toContain("-incoming");
  },
);

test("without memory, it boots", async () => {
  const { stream: _, ...made } = full;
  const { target } = await restored(made);
  expect(fs.existsSync(path.join(target, "state"))).toBe(false);
  const { lines, status } = launchedAs(target);
  expect(status).toBe(0);
  expect(lines).not.toContain("-incoming");
});

test("a state that was kept whole is given to QEMU as it was, and waits", async () => {
  const stream = Buffer.concat([Buffer.from("QEVM\0\0\0\x03"), named(1, 1, "block", 1, u(1, 0)), madeTail(saved)]);
  const { target } = await restored({ ...full, stream });
  expect(read(target, "state")).toEqual(stream);
  const { lines, stderr } = launchedAs(target);
  expect(lines).toContain("fd:3");
  expect(stderr).toContain("cont");
});

test("disks as qcow2, by qemu-img", async () => {
  const { target } = await restored(full, { format: "qcow2" });
  expect(fs.readdirSync(path.join(target, "disks")).toSorted()).toEqual(["vda.qcow2", "vdb.qcow2"]);
  execFileSync("qemu-img", ["convert", "-O", "raw", path.join(target, "disks/vda.qcow2"), path.join(target, "raw")]);
  expect(read(target, "raw").subarray(0, 200_000)).toEqual(disks.vda);
  expect(launchedAs(target).lines).toContain("index=0,media=disk,file=disks/vda.qcow2,format=qcow2");
});

test("a machine that can't be started again is restored all the same, with all of its state, and the script says why", async () => {
  const { target, report } = await restored({ ...full, command: `${full.command ?? ""} -device vfio-pci,host=1` });
  expect(report.problems.join()).toContain("vfio-pci");
  expect(read(target, "disks/vda.raw")).toEqual(disks.vda);
  const state = await parseStream(path.join(target, "state"));
  expect(state.opaque).toBeUndefined();
  const launch = launchedAs(target);
  expect(launch).toMatchObject({ status: 1, lines: [""] });
  expect(launch.stderr).toContain("vfio-pci");
});

test("cut off, it goes on where it was", async () => {
  const tested = await makeTestRepository();
  const point = await makeMachinePoint(tested, full);
  const target = path.join(await tempDir(), "restored");
  const stop = new AbortController();
  let calls = 0;
  const progress = (): void => {
    calls += 1;
    if (calls === 2) stop.abort();
  };
  expect(await rejection(restore(tested, point, target, { signal: stop.signal, progress }))).toMatchObject({
    code: "cancelled",
  });
  const report = await restore(tested, point, target);
  expect(report.complete).toBe(true);
  expect(report.bytesInPlace).toBeGreaterThanOrEqual(200_000);
  expect(read(target, "disks/vda.raw")).toEqual(disks.vda);
  expect(read(target, "memory/0.raw")).toEqual(bytesOf(ram));
});

test("damage is told, the rest restored, and a damaged state isn't started from", async () => {
  const tested = await makeTestRepository();
  const point = await makeMachinePoint(tested, full);
  for (const [name, content] of tested.disk.contents()) {
    if (!name.includes("/packs/") || content.length < 100_000) continue;
    const flipped = Buffer.from(content);
    for (let at = 60; at < flipped.length - 2000; at += 50) flipped[at] = (flipped[at] as number) ^ 1;
    await tested.disk.unlink(name);
    await tested.disk.createSynced(name, [flipped]);
  }
  const target = path.join(await tempDir(), "restored");
  const report = await restore(tested, point, target, { format: "qcow2" });
  expect(report.complete).toBe(false);
  expect(new Set(report.damaged.map((one) => one.path))).toContain("disks/vda.raw");
  expect(new Set(report.damaged.map((one) => one.path))).toContain("state");
  expect(fs.existsSync(target)).toBe(false);
  expect(fs.existsSync(path.join(report.place, "disks/vda.raw"))).toBe(true);
  expect(launchedAs(report.place).stderr).toContain("is damaged");
});

const withMachine =
  (change: (machine: Machine) => Partial<Machine>) =>
  (manifest: Manifest): Manifest => {
    const { machine } = manifest;
    return machine === undefined ? manifest : { ...manifest, machine: { ...machine, ...change(machine) } };
  };
const renamed =
  (from: string, to: string) =>
  (manifest: Manifest): Manifest => ({
    ...manifest,
    parts: manifest.parts.map((part) => (part.name === from ? { ...part, name: to } : part)),
  });

test.each<[string, (manifest: Manifest) => Manifest]>([
  [
    "a disk's part in a folder",
    (manifest) =>
      withMachine(({ disks: all }) => ({ disks: all.map((one) => ({ ...one, part: "disk/a/b" })) }))(
        renamed("disk/vda", "disk/a/b")(manifest),
      ),
  ],
  [
    "a part that leads elsewhere",
    withMachine(({ disks: all }) => ({ disks: all.map((one) => ({ ...one, part: "disk/../../x" })) })),
  ],
  [
    "another part as a disk",
    withMachine(({ disks: all }) => ({ disks: all.map((one) => ({ ...one, part: "memory/0" })) })),
  ],
  ["one part as two disks", withMachine(({ disks: [one] }) => ({ disks: one === undefined ? [] : [one, one] }))],
  ["a part that isn't there", renamed("memory/1", "memory/7")],
  [
    "a part of the wrong kind",
    (manifest) =>
      renamed(
        "file/0",
        "state/tail",
      )(
        renamed(
          "state/tail",
          "file/0",
        )({
          ...manifest,
          parts: manifest.parts.map((part) =>
            part.name === "memory/0" && part.kind === "image"
              ? { name: part.name, kind: "stream", size: part.size, depth: 0, root: part.root }
              : part,
          ),
        }),
      ),
  ],
  ["a part that nothing speaks of", renamed("disk/vdb", "something")],
  [
    "memory of another length",
    withMachine(() => ({
      memory: {
        page: 4096,
        blocks: [
          { id: "pc.ram", size: 4096 },
          { id: "rom", size: 8192 },
        ],
      },
    })),
  ],
  ["no machine", (manifest) => ({ ...manifest, machine: undefined })],
])("a manifest that isn't a machine's is damage, and nothing is written: %s", async (_, change) => {
  const tested = await makeTestRepository();
  const point = await makeMachinePoint(tested, { ...full, change });
  const folder = await tempDir();
  expect(await rejection(restore(tested, point, path.join(folder, "x")))).toMatchObject({ code: "damaged" });
  expect(fs.readdirSync(folder)).toEqual([]);
});

test("blocks in another order than in the state are damage", async () => {
  const same = { blocks: ["a", "b"].map((id) => ({ id, pages: [noise(4096), undefined] })) };
  const swap = (manifest: Manifest): Manifest =>
    withMachine(({ memory }) => ({
      memory: memory && {
        ...memory,
        blocks: [...memory.blocks].reverse().map((block, n) => ({ ...block, size: [8192, 8192][n] ?? 0 })),
      },
    }))(manifest);
  const tested = await makeTestRepository();
  const point = await makeMachinePoint(tested, { ...full, stream: madeStream(same), change: swap });
  const error = await rejection(restore(tested, point, path.join(await tempDir(), "x")));
  expect(error).toMatchObject({ code: "damaged" });
});

test("whatever a manifest's machine says, nothing is written outside the target, and no word of it runs in the script", async () => {
  const tested = await makeTestRepository();
  const evil = fc.oneof(
    fc.string(),
    fc.constantFrom(
      "../../../x",
      "/tmp/x",
      "..",
      "\n touch ../escaped",
      "'; touch ../escaped; '",
      "$(touch ../escaped)",
      "`touch ../escaped`",
      "\\",
      "id=../../x,path=../y",
    ),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(evil, { maxLength: 8 }),
      evil,
      evil,
      evil,
      fc.integer({ min: 0, max: 60 }),
      async (words, file, name, version, count) => {
        const { stream: _, files: __, ...made } = full;
        const change = withMachine((machine) => ({
          command: ["qemu", "-chardev", file, ...words],
          folder: name,
          qemu: { version, binary: machine.qemu.binary },
          disks: [
            ...machine.disks.map((disk) => ({ ...disk, name, file, node: name, device: file })),
            ...Array.from({ length: count }, () => ({
              ...(machine.disks[0] as Machine["disks"][number]),
              part: null,
              name,
            })),
          ],
          networks: [{ id: name }],
        }));
        const point = await makeMachinePoint(tested, {
          ...made,
          change: (manifest) => ({ ...change(manifest), source: name === "" ? "x" : name }),
        });
        const folder = await tempDir();
        const target = path.join(folder, "in/side");
        fs.mkdirSync(path.dirname(target));
        await restore(tested, point, target);
        launchedAs(target);
        expect(fs.readdirSync(path.join(folder, "in")).toSorted()).toEqual(["bin", "side"]);
        expect(fs.readdirSync(folder)).toEqual(["in"]);
        expect(fs.readdirSync(target).toSorted()).toEqual(["disks", "files", "launch.sh", "memory"]);
      },
    ),
    { numRuns: 60 },
  );
});
