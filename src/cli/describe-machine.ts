/** What a recovery point says of its virtual machine, for people and for programs. Its command line is left out: secrets may be in it. */
import type { Machine, MachineDisk } from "../repository/points/machine.ts";
import { formatBytes } from "./format.ts";

const methods: Readonly<Record<Machine["method"], string>> = {
  "late-stop": "memory saved while it ran on; stopped late",
  background: "memory saved while it ran on",
  stopped: "memory saved while it stood still",
  disks: "disks only",
};

/** For `--json`. */
export function machineFacts(machine: Machine): object {
  const { qemu, type, pause, method, memory, disks, files, networks } = machine;
  return { qemu, type, pause, method, memory, disks, files, networks };
}

/** Lines of a name and a text. */
export function describeMachine({ type, qemu, method, pause, disks, networks }: Machine): [string, string][] {
  return [
    ["machine", `${type}, QEMU ${qemu.version}`],
    ["paused", `${pause.toFixed(pause < 10 ? 1 : 0)} ms (${methods[method]})`],
    ...disks.map((disk): [string, string] => ["disk", describeDisk(disk)]),
    ...networks.map(({ id, model, mac }): [string, string] => [
      "network",
      [id, model, mac].filter((word) => word !== undefined).join(", "),
    ]),
  ];
}

function describeDisk({ name, part, size, format, read_only: readOnly, read, reason }: MachineDisk): string {
  if (part === null) return `${name}, empty`;
  const why = reason === undefined ? "only what changed" : `everything: ${reason}`;
  return `${name}, ${formatBytes(size)} ${format}${readOnly ? ", read-only" : ""}, ${formatBytes(read)} read (${why})`;
}
