/** How a guest can be started again: what the manifest says of the machine (docs/format.md section 9.1). */
import { readlink, stat } from "node:fs/promises";
import { resolve } from "node:path";
import type { QemuProcess } from "../../qemu/qmp-peer.ts";
import type { Machine } from "../../repository/points/machine.ts";
import type { Guest } from "./guest.ts";
import { step } from "./trouble.ts";

/** What doesn't depend on the capture. */
export type MachineDescription = Pick<Machine, "qemu" | "type" | "command" | "folder" | "files" | "networks">;

export async function describeMachine({ qmp, process }: Guest): Promise<MachineDescription> {
  const { major, minor, micro } = qmp.version;
  const type = await step(
    "ask for the machine type",
    qmp.execute<string>("qom-get", { path: "/machine", property: "type" }),
  );
  return {
    qemu: { version: `${major}.${minor}.${micro}`, binary: await binaryOf(process) },
    type: type.replace(/-machine$/, ""),
    command: [...process.command],
    folder: process.folder,
    files: await filesOf(process),
    networks: parseNetworks(await qmp.hmp("info network")),
  };
}

async function binaryOf({ pid, command }: QemuProcess): Promise<string> {
  const path = await readlink(`/proc/${pid}/exe`).catch(() => command[0] ?? "qemu");
  // The kernel's mark for a program that was replaced, by an update say, while it runs.
  return path.replace(/ \(deleted\)$/, "");
}

/** Options whose value is a file, and those in whose value a key names one. */
const fileOptions = new Set(["kernel", "initrd", "bios", "dtb", "shim"]);
const fileKeys: ReadonlyMap<string, RegExp> = new Map([
  ["fw_cfg", /(?:^|,)file=([^,]+)/],
  ["smbios", /(?:^|,)file=([^,]+)/],
  ["acpitable", /(?:^|,)(?:file|data)=([^,]+)/],
  ["device", /^loader,(?:.*,)?file=([^,]+)/],
]);

/**
 * The files that QEMU itself was started with, besides disks. One that isn't there, such as firmware that QEMU finds in its own
 * folders by name, belongs to QEMU, not to the machine.
 */
async function filesOf({ command, folder }: QemuProcess): Promise<Machine["files"]> {
  const files: Machine["files"] = [];
  for (const [index, argument] of command.entries()) {
    const option = /^--?(\w+)$/.exec(argument)?.[1];
    const value = command[index + 1];
    if (option === undefined || value === undefined) continue;
    const named = fileOptions.has(option) ? value : fileKeys.get(option)?.exec(value)?.[1];
    if (named === undefined) continue;
    const path = resolve(folder, named);
    const info = await stat(path).catch(() => undefined);
    if (info?.isFile() === true) files.push({ option: `-${option}`, path });
  }
  return files;
}

/**
 * The human monitor's list of networks, which has the addresses of all cards; QMP tells only those of some:
 *
 *     hub 0
 *      \ hub0port1: #net108: index=0,type=user,net=10.0.2.0,restrict=off
 *      \ hub0port0: e1000.0: index=0,type=nic,model=e1000,macaddr=52:54:00:12:34:56
 *     card: index=0,type=nic,model=virtio-net-pci,macaddr=52:54:00:12:34:57
 *      \ lan: index=0,type=tap,ifname=tap0
 */
export function parseNetworks(text: string): Machine["networks"] {
  const clients = text.split(/\r?\n/).flatMap((line) => {
    const [, peer, hub, id, settings = ""] = /^( \\ )?(?:(hub\d+)port\d+: )?(\S+): (index=.*)$/.exec(line) ?? [];
    if (id === undefined) return [];
    const of = (key: string): string | undefined => new RegExp(`(?:^|,)${key}=([^,]*)`).exec(settings)?.[1];
    return [{ id, hub, type: of("type"), model: of("model"), mac: of("macaddr"), isPeer: peer !== undefined }];
  });
  return clients.flatMap(({ id, hub, type, model, mac }, index) => {
    if (type !== "nic") return [];
    const next = clients[index + 1];
    const direct = next?.isPeer === true && next.hub === undefined ? next : undefined;
    const other = hub === undefined ? direct : clients.find((one) => one.hub === hub && one.type !== "nic");
    return [{ id, ...(other?.type && { type: other.type }), ...(model && { model }), ...(mac && { mac }) }];
  });
}
