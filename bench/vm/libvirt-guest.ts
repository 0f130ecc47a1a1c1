/** A machine of libvirt, whose daemon runs for it alone: nothing of it touches a libvirt that this host may have. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdirSync, openSync, writeFileSync } from "node:fs";
import * as path from "node:path";
import { isListening, waitFor } from "../../test/helpers/guest/qemu.ts";
import { run } from "../measure.ts";

interface Machine {
  readonly folder: string;
  /** What libvirt's programs are given to reach its daemon. */
  readonly uri: string;
  /** The machine's name for libvirt. */
  readonly name: string;
  /** Path of a QMP socket beside libvirt's own. */
  readonly qmp: string;
  /** The disk's device. */
  readonly device: string;
}

export interface LibvirtGuest extends Machine {
  /** Ends the machine and the daemon. */
  stop(): Promise<void>;
}

/** Starts a machine with one qcow2 disk and nothing else: it stays in its firmware, as nothing on the disk boots. */
export async function startLibvirtGuest(folder: string, disk: string): Promise<LibvirtGuest> {
  const socket = path.join(folder, "run/libvirt/libvirt-sock");
  const machine: Machine = {
    folder,
    uri: `qemu:///session?socket=${socket}`,
    name: "bench",
    qmp: path.join(folder, "qmp"),
    device: "ua-disk1",
  };
  const stop = startDaemon(folder);
  try {
    await waitFor(`libvirtd's socket; ${path.join(folder, "libvirtd.log")} says more`, () => isListening(socket));
    const definition = path.join(folder, "machine.xml");
    writeFileSync(definition, describeMachine(machine, disk));
    await run({ program: "virsh", args: ["--connect", machine.uri, "define", definition] });
    await run({ program: "virsh", args: ["--connect", machine.uri, "start", machine.name] });
    return { ...machine, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/**
 * Started by an ordinary user (here of a user namespace, so that all files belong to us), libvirtd keeps everything in folders that the
 * environment names, and needs neither systemd nor control groups. A machine is no child of the daemon, but ends with its PID namespace,
 * which ends with its first process: a shell that reads until we stop it, or end ourselves.
 * That has to be bash, which meanwhile reaps what other processes leave: when nobody does, libvirtd waits 40 s for each QEMU that it tried out.
 */
function startDaemon(folder: string): () => Promise<void> {
  const places = { XDG_CONFIG_HOME: "config", XDG_DATA_HOME: "data", XDG_CACHE_HOME: "cache", XDG_RUNTIME_DIR: "run" };
  const env: NodeJS.ProcessEnv = { ...process.env };
  for (const [variable, name] of Object.entries(places)) mkdirSync((env[variable] = path.join(folder, name)));
  mkdirSync(path.join(folder, "config/libvirt"));
  // Without virtlogd, which would outlive the daemon.
  writeFileSync(path.join(folder, "config/libvirt/qemu.conf"), 'stdio_handler = "file"\n');
  const log = openSync(path.join(folder, "libvirtd.log"), "a");
  const namespaces = ["--user", "--map-user=1", "--map-group=1", "--pid", "--fork", "--mount-proc"];
  const child = spawn("unshare", [...namespaces, "bash", "-c", "libvirtd & read"], { env, stdio: ["pipe", log, log] });
  closeSync(log);
  const ended = once(child, "exit");
  return async () => {
    child.stdin?.end();
    await ended;
  };
}

function describeMachine({ folder, name, qmp, device }: Machine, disk: string): string {
  const sockets = [qmp, path.join(folder, "control")];
  const listening = sockets.map((socket) => `unix:${socket},server=on,wait=off`);
  const args = listening.flatMap((socket) => ["-qmp", socket]).map((value) => `<qemu:arg value="${value}"/>`);
  return `<domain type="qemu" xmlns:qemu="http://libvirt.org/schemas/domain/qemu/1.0">
  <name>${name}</name>
  <memory unit="MiB">64</memory>
  <os><type arch="x86_64" machine="pc">hvm</type></os>
  <devices>
    <disk type="file">
      <driver name="qemu" type="qcow2" discard="unmap"/>
      <source file="${disk}"/>
      <target dev="vda" bus="virtio"/>
      <alias name="${device}"/>
    </disk>
    <controller type="usb" model="none"/>
    <memballoon model="none"/>
  </devices>
  <qemu:commandline>${args.join("")}</qemu:commandline>
</domain>
`;
}
