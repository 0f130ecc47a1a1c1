import { expect, test } from "vitest";
import { describeMachine, machineFacts } from "../../src/cli/describe-machine.ts";
import type { Machine } from "../../src/repository/points/machine.ts";

const disk = {
  device: "/machine/peripheral/root",
  node: "root",
  file: "/srv/root.raw",
  format: "raw",
  read_only: false,
};
const machine: Machine = {
  qemu: { version: "7.2.22", binary: "/usr/bin/qemu-system-x86_64" },
  type: "pc-i440fx-7.2",
  command: ["qemu-system-x86_64", "-object", "secret,id=s,data=hunter2"],
  folder: "/",
  pause: 22.6,
  method: "late-stop",
  memory: { page: 4096, blocks: [{ id: "pc.ram", size: 2 ** 28 }] },
  disks: [
    { ...disk, name: "root", part: "disk/root", size: 2 ** 33, read: 2 ** 20, bitmap: "stillpoint-0011223344556677" },
    { ...disk, name: "data", part: "disk/data", size: 2 ** 30, read: 2 ** 30, bitmap: null, reason: "it is new" },
    { ...disk, name: "cd", part: null, size: 0, read: 0, bitmap: null },
  ],
  files: [],
  networks: [{ id: "net0", mac: "52:54:00:12:34:56" }],
};

test("what a machine was, how long it stood still, and what was read of its disks", () => {
  expect(describeMachine(machine)).toEqual([
    ["machine", "pc-i440fx-7.2, QEMU 7.2.22"],
    ["paused", "23 ms (memory saved while it ran on; stopped late)"],
    ["disk", "root, 8.0 GiB raw, 1.0 MiB read (only what changed)"],
    ["disk", "data, 1.0 GiB raw, 1.0 GiB read (everything: it is new)"],
    ["disk", "cd, empty"],
    ["network", "net0, 52:54:00:12:34:56"],
  ]);
});

test("the command line, in which secrets may be, isn't shown", () => {
  const facts = machineFacts(machine);
  expect(facts).toMatchObject({ type: "pc-i440fx-7.2", pause: 22.6, method: "late-stop" });
  expect(JSON.stringify(facts)).not.toContain("hunter2");
});
