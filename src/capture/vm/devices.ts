/** The devices of a guest, as QEMU's object tree has them: which of them can't be captured right. */
import type { Qmp } from "../../qemu/qmp.ts";
import type { Disk } from "./disks.ts";
import { cannotSave } from "./saving.ts";
import { refused, step } from "./trouble.ts";

/** Devices that hand requests to the hardware as they are write past every filter. */
export async function requireFilterable(qmp: Qmp, { name, device, medium }: Disk): Promise<void> {
  if (medium.readOnly) return;
  const type = await step(
    `look at the disk ${name}`,
    qmp.execute<string>("qom-get", { path: device, property: "type" }),
  );
  if (type === "scsi-block" || type === "scsi-generic") {
    throw refused(
      `its disk ${name} is passed through (${type}), so what it writes can't be seen`,
      "Connect it as scsi-hd, or leave it out of `disks`.",
    );
  }
  const properties = await qmp.execute<readonly { readonly name: string }[]>("qom-list", { path: device });
  if (properties.some((property) => property.name === "drive")) return;
  throw refused(`its disk ${name} (${type}) can't be given a filter`, "Leave it out of `disks`.");
}

interface Child {
  readonly name: string;
  readonly type: string;
}

interface Device {
  readonly name: string;
  readonly path: string;
  readonly kind: string;
}

/** The devices of a machine that were asked for. */
async function listDevices(qmp: Qmp): Promise<Device[]> {
  const folders = ["/machine/peripheral", "/machine/peripheral-anon"];
  const found = folders.map(async (folder) => {
    const children = await qmp.execute<readonly Child[]>("qom-list", { path: folder });
    return children.flatMap(({ name, type }) => {
      const kind = /^child<(.*)>$/.exec(type)?.[1];
      return kind === undefined ? [] : [{ name, path: `${folder}/${name}`, kind }];
    });
  });
  return (await Promise.all(found)).flat();
}

/** From here on QEMU's NBD server may run in other threads than the main one. */
const threadedServer = 9;

/**
 * Before, QEMU aborts, and the guest with it, when a connection to a disk ends that an iothread serves; and all connections end
 * should we be killed (decision 43).
 */
export async function requireMainThread(qmp: Qmp, disks: readonly Disk[]): Promise<void> {
  if (qmp.version.major >= threadedServer) return;
  for (const { path } of await listDevices(qmp)) {
    const properties = await qmp.execute<readonly Child[]>("qom-list", { path });
    if (!properties.some(({ name }) => name === "iothread")) continue;
    if ((await qmp.execute<string>("qom-get", { path, property: "iothread" })) === "") continue;
    for (const { name, device } of disks) {
      // Of a disk behind a controller it is the bus that lies below the device with the thread.
      const bus = await qmp.execute<string>("qom-get", { path: device, property: "parent_bus" });
      if (![device, bus].some((place) => place.startsWith(`${path}/`))) continue;
      throw refused(
        `its disk ${name} is served by an iothread, and QEMU before ${threadedServer}.0 may abort when such a disk is read`,
        "Start it with a newer QEMU or without `iothread=`, or leave the disk out of `disks`.",
      );
    }
  }
}

/** Devices that write to the guest's RAM behind QEMU's back: its write protection doesn't hold them. */
const foreignWriters = /^(vfio|vhost-user|vhost-vdpa|vhost-scsi|ivshmem|virtio-pmem)/;
/** Those that QEMU has marked as `unmigratable`, of the ones in use; others are refused when a save begins. */
const unsavable = /^(nvme|usb-mtp|usb-audio|usb-ccid|u2f-.*)$/;

export async function requirePlainDevices(qmp: Qmp): Promise<void> {
  for (const { name, kind } of await listDevices(qmp)) {
    if (unsavable.test(kind)) throw cannotSave(`QEMU can't save the state of its device ${name} (${kind})`);
    if (!foreignWriters.test(kind)) continue;
    throw refused(
      `its device ${name} (${kind}) writes to the guest's memory by itself`,
      "Detach it, or set `memory: false`.",
    );
  }
  const network = await qmp.hmp("info network");
  const backend = /type=(vhost-user|vhost-vdpa)/.exec(network)?.[1];
  if (backend === undefined) return;
  throw refused(
    `its network (${backend}) writes to the guest's memory by itself`,
    "Use another backend, or set `memory: false`.",
  );
}
