/** How a machine is started again: its own command line, with everything that reached into its host replaced. Pure. */
import * as path from "node:path";
import type { Machine, MachineDisk } from "../../repository/points/machine.ts";
import { cannotLaunch } from "./cannot-launch.ts";
import { formatCommandLine, formatFields, type Option, parseCommandLine, parseFields } from "./command-line.ts";
import { type DiskImage, relaunchDrives } from "./launch-drives.ts";
import { relaunchMemory } from "./launch-memory.ts";
import { isolateNetworks, requireOwnNetworks } from "./launch-networks.ts";
import { type Ports, relaunchPorts } from "./launch-ports.ts";

export interface LaunchOptions extends Ports {
  /** The image of a disk that is in the point; called once for each that the machine starts with. */
  readonly disk: (disk: MachineDisk, number: number) => DiskImage;
  /** The file of RAM block number n, to be mapped; undefined for a cold start. */
  readonly memory: ((number: number) => string) | undefined;
  /** In place of `machine.files[n]`. */
  readonly file: (number: number) => string;
  /** Path of the QMP socket. */
  readonly qmp: string;
  readonly network: "isolated" | "keep";
  /** What QEMU is to load the state from, such as `fd:3`; undefined for a cold start. */
  readonly incoming: string | undefined;
}

export interface Launch {
  /** The program first. */
  readonly argv: readonly string[];
  /** Numbers of the RAM blocks that come from files: their pages must not be in the stream. */
  readonly mapped: readonly number[];
  readonly serials: number;
  readonly sockets: number;
}

/** Options that say how QEMU itself runs: in whose sight, under which name, controlled by whom. */
const dropped = new Set(
  `S incoming loadvm daemonize pidfile D d gdb s display vnc spice sdl gtk curses full-screen alt-grab ctrl-grab no-quit
  monitor mon qmp qmp-pretty writeconfig snapshot runas chroot run-with add-fd mem-path mem-prealloc preconfig qtest qtest-log
  plugin iscsi only-migratable`.split(/\s+/),
);

/** Objects that are the host's: keys and filters of what has been replaced, its keyboards. */
const droppedObject = /^(secret|secret_keyring|tls-.*|filter-.*|colo-compare|input-.*|authz-.*|pr-manager-helper)$/;
const protectedObject = /^(sev-.*|tdx-.*|s390-pv-guest|pef-guest)$/;
const hostDevice =
  /^(vfio-.*|usb-host|vhost-.*|scsi-generic|scsi-block|ivshmem-doorbell|pci-assign|tpm-.*passthrough)$/;

/** Throws `vm_refused` when the machine can't be started as it was, with the reason. */
export function relaunch(machine: Machine, launch: LaunchOptions): Launch {
  const given = parseCommandLine(machine.command);
  const files = replaceFiles(given, machine, launch.file);
  const own = files.flatMap((option) => ownOption(option));
  const networked = launch.network === "keep" ? requireOwnNetworks(own) : isolateNetworks(own);
  const ports = relaunchPorts(networked, launch);
  const memory = relaunchMemory(ports.options, machine, launch.memory);
  const drives = relaunchDrives(memory.options, machine, {
    imageOf: launch.disk,
    resumed: launch.incoming !== undefined,
  });
  const options = [
    { name: "machine", value: machineOf(given, machine, memory.backend) },
    ...drives.filter(({ name }) => name !== "machine"),
    { name: "display", value: "none" },
    { name: "monitor", value: "none" },
    { name: "chardev", value: formatFields("socket", { id: controlId, path: launch.qmp, server: "on", wait: "off" }) },
    { name: "mon", value: `chardev=${controlId},mode=control` },
    ...(launch.incoming === undefined ? [] : [{ name: "incoming", value: launch.incoming }]),
  ];
  const { serials, sockets } = ports;
  return { argv: [machine.qemu.binary, ...formatCommandLine(options)], mapped: memory.mapped, serials, sockets };
}

const controlId = "stillpoint-control";

/** The option without what is the host's; nothing when all of it is. Throws `vm_refused` when it can't be done without. */
function ownOption(option: Option): Option[] {
  const { name, value } = option;
  if (dropped.has(name)) return [];
  if (name === "readconfig") throw cannotLaunch("a part of its configuration was in a file (-readconfig)");
  if (name === "tpmdev") throw cannotLaunch("its TPM is a program of its host, whose state isn't in the point");
  if (name === "audiodev") {
    return [{ name, value: formatFields("none", { id: parseFields(value, "driver").get("id") }) }];
  }
  if (name === "fsdev" || name === "virtfs") {
    // A copy of the machine must not write to the folder that the original shares.
    const fields = parseFields(value, "fsdriver");
    const type = fields.get("fsdriver");
    fields.delete("fsdriver");
    return [{ name, value: formatFields(type, fields.set("readonly", "on")) }];
  }
  if (name === "object") {
    const type = parseFields(value, "qom-type").get("qom-type") ?? "";
    if (protectedObject.test(type)) throw cannotLaunch(`its memory is encrypted by its host's processor (${type})`);
    return droppedObject.test(type) ? [] : [option];
  }
  const driver = name === "device" ? (parseFields(value, "driver").get("driver") ?? "") : "";
  if (hostDevice.test(driver)) throw cannotLaunch(`it uses a device of its host (${driver})`);
  return [option];
}

/** All `-machine` in one, with the type that it was and not the newest of that name. */
function machineOf(given: readonly Option[], machine: Machine, backend: string | undefined): string {
  const fields = new Map<string, string>();
  for (const { name, value } of given) {
    if (name !== "machine") continue;
    for (const [key, one] of parseFields(value, "type")) fields.set(key, one);
  }
  fields.delete("type");
  if (backend !== undefined) fields.set("memory-backend", backend);
  return formatFields(machine.type, fields);
}

/** Kernels, firmware and the like: what was captured of them, in place of what is on that host now. */
function replaceFiles(given: readonly Option[], machine: Machine, fileOf: (number: number) => string): Option[] {
  const files = machine.files.map(({ option, path: file }) => ({
    option: option.replace(/^--?/, ""),
    file: resolve(file),
  }));
  function resolve(file: string): string {
    return path.posix.resolve(machine.folder, file);
  }
  return given.map((option) => {
    const { name, value } = option;
    if (value === undefined) return option;
    const mine = files.map((one, number) => ({ ...one, number })).filter((one) => one.option === name);
    const whole = mine.find(({ file }) => file === resolve(value));
    if (whole !== undefined) return { name, value: fileOf(whole.number) };
    let changed = value;
    for (const [, text] of parseFields(value)) {
      const found = mine.find(({ file }) => file === resolve(text));
      const escaped = (one: string): string =>
        value.startsWith("{") ? JSON.stringify(one).slice(1, -1) : one.replaceAll(",", ",,");
      if (found !== undefined) changed = changed.replace(escaped(text), () => escaped(fileOf(found.number)));
    }
    return { name, value: changed };
  });
}
