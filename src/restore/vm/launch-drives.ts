/** The drives of a command line, each with the restored disk in it instead of what it had. */
import * as path from "node:path";
import type { Machine, MachineDisk } from "../../repository/points/machine.ts";
import { cannotLaunch } from "./cannot-launch.ts";
import { type Fields, formatFields, type Option, parseFields } from "./command-line.ts";

/** An image, and its format (`raw`, `qcow2`). */
export interface DiskImage {
  readonly file: string;
  readonly format: string;
}

/** A drive, or a node of a block graph that a device is connected to. */
interface Drive {
  /** Where in the options it stands. */
  readonly position: number;
  readonly fields: Fields;
  /** `drive`, also for the short forms such as `-hda`; or `blockdev`. */
  readonly kind: "drive" | "blockdev";
  readonly node: string | undefined;
  /** Names by which a disk may be known: of the drive and of its device. */
  readonly names: ReadonlySet<string>;
  readonly files: ReadonlySet<string>;
}

const shortForms: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  hda: { index: "0", media: "disk" },
  hdb: { index: "1", media: "disk" },
  hdc: { index: "2", media: "disk" },
  hdd: { index: "3", media: "disk" },
  cdrom: { index: "2", media: "cdrom" },
  fda: { if: "floppy", index: "0" },
  fdb: { if: "floppy", index: "1" },
  pflash: { if: "pflash" },
  mtdblock: { if: "mtd" },
  sd: { if: "sd" },
};

/** Fields of `-drive` that say how the guest sees it, not where its content is. */
const kept =
  /^(if|id|bus|unit|index|media|readonly|read-only|node-name|werror|rerror|discard|detect-zeroes|group|throttling\..*|bps.*|iops.*)$/;

export interface DriveOptions {
  readonly imageOf: (disk: MachineDisk, number: number) => DiskImage;
  /** Whether the guest goes on from its state: it then misses what a cold start would do without. */
  readonly resumed: boolean;
}

/**
 * Replaces the images of all drives. A drive that the machine no longer had goes with its device, and in a cold start also one
 * whose disk wasn't captured. Throws `vm_refused` for a disk that it had and that can't be given to it.
 */
export function relaunchDrives(options: readonly Option[], machine: Machine, how: DriveOptions): Option[] {
  const drives = findDrives(options, machine.folder);
  const disks = matchDisks(drives, machine);
  const lacking = machine.disks.find((disk) => disk.part === null && disk.file !== "");
  if (lacking !== undefined && how.resumed) throw cannotLaunch(`the disk ${lacking.name} wasn't captured`);
  const result = new Map<number, Option | undefined>();
  for (const [position, { name }] of options.entries()) if (name === "blockdev") result.set(position, undefined);
  const gone = new Set<string>();
  const empty = new Set<string>();
  for (const drive of drives) {
    const number = disks.get(drive);
    const disk = number === undefined ? undefined : machine.disks[number];
    const image = disk === undefined || disk.part === null ? undefined : how.imageOf(disk, number as number);
    const isEmpty = disk === undefined ? drive.files.size === 0 && drive.kind === "drive" : disk.file === "";
    const stays = image !== undefined || isEmpty;
    result.set(drive.position, stays ? formatDrive(drive, image, disk) : undefined);
    const ids = [drive.fields.get("id"), drive.node].filter((id) => id !== undefined);
    if (!stays) for (const id of ids) gone.add(id);
    else if (image === undefined && drive.kind === "blockdev") for (const id of ids) empty.add(id);
  }
  return options.flatMap((option, position) => {
    const used = option.name === "device" ? parseFields(option.value, "driver").get("drive") : undefined;
    if (used !== undefined && gone.has(used)) return [];
    if (used !== undefined && empty.has(used)) return [withoutDrive(option)];
    const changed = result.has(position) ? result.get(position) : option;
    return changed === undefined ? [] : [changed];
  });
}

/** A device for media, with none in it. */
function withoutDrive({ name, value }: Option): Option {
  const fields = parseFields(value, "driver");
  const driver = fields.get("driver");
  fields.delete("driver");
  fields.delete("drive");
  return { name, value: formatFields(driver, fields) };
}

function formatDrive(drive: Drive, image: DiskImage | undefined, disk: MachineDisk | undefined): Option | undefined {
  if (drive.kind === "blockdev") {
    if (image === undefined) return undefined;
    const value = formatFields(image.format, {
      "node-name": drive.node,
      "read-only": disk?.read_only === true ? "on" : undefined,
      discard: drive.fields.get("discard"),
      "detect-zeroes": drive.fields.get("detect-zeroes"),
      "file.driver": "file",
      "file.filename": image.file,
    });
    return { name: "blockdev", value: `driver=${value}` };
  }
  const fields = new Map([...drive.fields].filter(([key]) => kept.test(key)));
  const cache = cacheOf(drive.fields);
  if (cache !== undefined) fields.set("cache", cache);
  if (image !== undefined) {
    fields.set("file", image.file).set("format", image.format);
    if (disk?.read_only === true && fields.get("media") !== "cdrom") {
      fields.delete("read-only");
      fields.set("readonly", "on");
    }
  }
  return { name: "drive", value: formatFields(undefined, fields) };
}

/** The guest sees whether there is a cache; how it is made depends on the host, and might not work on another. */
function cacheOf(fields: Fields): string | undefined {
  const cache = fields.get("cache");
  return cache === "writethrough" || cache === "directsync" ? "writethrough" : undefined;
}

function findDrives(options: readonly Option[], folder: string): Drive[] {
  const devices = options.filter(({ name }) => name === "device").map(({ value }) => parseFields(value, "driver"));
  const flash = options.flatMap(({ name, value }) => {
    const fields = name === "machine" ? parseFields(value, "type") : new Map<string, string>();
    return ["pflash0", "pflash1"].flatMap((key) => fields.get(key) ?? []);
  });
  const nodes = new Map<string, Fields>();
  for (const { name, value } of options) {
    const fields = name === "blockdev" ? parseFields(value) : undefined;
    if (fields !== undefined) nodes.set(fields.get("node-name") ?? "", fields);
  }
  const next = new Map<string, number>();
  return options.flatMap((option, position): Drive[] => {
    const short = shortForms[option.name];
    const isNode = option.name === "blockdev";
    if (short === undefined && option.name !== "drive" && !isNode) return [];
    const fields =
      short === undefined
        ? parseFields(option.value, isNode ? "driver" : "file")
        : new Map([...Object.entries(short), ["file", option.value ?? ""] as const]);
    const node = fields.get("node-name");
    const id = isNode ? node : fields.get("id");
    const connected = devices.filter((device) => id !== undefined && device.get("drive") === id);
    if (isNode && connected.length === 0 && !flash.includes(node ?? "")) return [];
    const names = new Set(
      [id, node, ...connected.map((device) => device.get("id"))].filter((one) => one !== undefined),
    );
    if (!isNode && id === undefined) names.add(usualName(fields, next));
    const files = isNode ? filesOf(fields, nodes) : [fields.get("file") ?? fields.get("file.filename") ?? ""];
    const places = files.filter((file) => file !== "").map((file) => path.posix.resolve(folder, file));
    return [{ position, fields, kind: isNode ? "blockdev" : "drive", node, names, files: new Set(places) }];
  });
}

/** The files of a node, and of those below it by whatever name they are connected. */
function filesOf(fields: Fields, nodes: ReadonlyMap<string, Fields>, depth = 0): string[] {
  return [...fields].flatMap(([key, value]) => {
    if (/(^|\.)filename$/.test(key)) return [value];
    const below = /(^|\.)file$/.test(key) && depth < 16 ? nodes.get(value) : undefined;
    return below === undefined ? [] : filesOf(below, nodes, depth + 1);
  });
}

/** What QEMU calls a drive without an id (`drive_new` of its blockdev.c). */
function usualName(fields: Fields, next: Map<string, number>): string {
  const kind = fields.get("if") ?? "ide";
  const perBus = { ide: 2, scsi: 7 }[kind] ?? 0;
  const index = Number(fields.get("index") ?? fields.get("unit") ?? next.get(kind) ?? 0);
  next.set(kind, index + 1);
  if (perBus === 0) return `${kind}${index}`;
  const media = fields.get("media") === "cdrom" ? "cd" : "hd";
  const bus = Number(fields.get("bus") ?? Math.floor(index / perBus));
  return `${kind}${bus}-${media}${index % perBus}`;
}

/** Which disk of the point is in which drive: by node, else by name, else by file. */
function matchDisks(drives: readonly Drive[], { disks, folder }: Machine): Map<Drive, number> {
  const found = new Map<Drive, number>();
  const free = new Set(disks.keys());
  const judges: readonly ((drive: Drive, disk: MachineDisk) => boolean)[] = [
    (drive, disk) => drive.node !== undefined && drive.node === disk.node,
    (drive, disk) => drive.names.has(disk.name) || disk.device.split("/").some((step) => drive.names.has(step)),
    (drive, disk) => disk.file !== "" && drive.files.has(path.posix.resolve(folder, disk.file)),
  ];
  for (const judge of judges)
    for (const drive of drives) {
      if (found.has(drive)) continue;
      const number = [...free].find((one) => judge(drive, disks[one] as MachineDisk));
      if (number === undefined) continue;
      found.set(drive, number);
      free.delete(number);
    }
  const first = disks.find((disk, number) => free.has(number) && disk.part !== null && !disk.read_only);
  if (first === undefined) return found;
  throw cannotLaunch(`the disk ${first.name} was plugged in while it ran, so its command line doesn't say how`);
}
