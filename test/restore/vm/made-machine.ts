import type { Machine, MachineDisk } from "../../../src/repository/points/machine.ts";
import { type Launch, type LaunchOptions, relaunch } from "../../../src/restore/vm/launch.ts";

export function disk(name: string, more: Partial<MachineDisk> = {}): MachineDisk {
  return {
    name,
    part: `disk/${name}`,
    device: "",
    node: "#block1",
    file: `/images/${name}`,
    format: "raw",
    size: 1024,
    read_only: false,
    read: 0,
    bitmap: null,
    ...more,
  };
}

/** A machine that was started with these words; spaces part them, so that none can have one. */
export function machine(command: string | readonly string[], more: Partial<Machine> = {}): Machine {
  const words = typeof command === "string" ? command.split(/\s+/).filter(Boolean) : command;
  return {
    qemu: { version: "7.2.22", binary: "/usr/bin/qemu-system-x86_64" },
    type: "pc-i440fx-7.2",
    command: ["qemu", ...words],
    folder: "/srv",
    pause: 1,
    method: "late-stop",
    memory: null,
    disks: [],
    files: [],
    networks: [],
    ...more,
  };
}

const launchOptions: LaunchOptions = {
  disk: ({ part }) => ({ file: `disks/${part?.slice(5) ?? ""}.raw`, format: "raw" }),
  memory: undefined,
  file: (number) => `files/${number}`,
  qmp: "qmp.sock",
  serial: (number) => `serial${number}.log`,
  socket: (number) => `channel${number}.sock`,
  network: "isolated",
  incoming: undefined,
};

/** What is always at the end. */
const always =
  "-display none -monitor none -chardev socket,id=stillpoint-control,path=qmp.sock,server=on,wait=off -mon chardev=stillpoint-control,mode=control";

export function launched(one: Machine, options: Partial<LaunchOptions> = {}): Launch {
  return relaunch(one, { ...launchOptions, ...options });
}

/** The words between the machine type and what is always at the end. */
export function wordsOf(one: Machine, options: Partial<LaunchOptions> = {}): string {
  const text = launched(one, options).argv.join(" ");
  const start = `/usr/bin/qemu-system-x86_64 -machine ${one.type}`;
  if (!text.startsWith(start) || !text.endsWith(always)) throw new Error(`launched as ${text}`);
  return text.slice(start.length, -always.length).trim();
}
