/** Starts the counter guest (counter.S) on a real QEMU. */
import * as fs from "node:fs";
import * as path from "node:path";
import { assemble } from "./assemble.ts";
import { type CounterSettings, defaultSettings, readSerialCount } from "./counter-record.ts";
import { commonArguments, type Guest, guestFolder, makeImage, startQemu, waitFor } from "./qemu.ts";

export interface CounterDisk {
  readonly format?: "raw" | "qcow2";
  /** In bytes; by default 16 MiB. */
  readonly size?: number;
  /** By default `virtio-blk-pci`. */
  readonly device?: "virtio-blk-pci" | `virtio-blk-pci,iothread=${string}` | "ide-hd" | "scsi-hd";
}

export interface CounterGuestOptions {
  /** Where the guest's files are; disks that are there already are taken as they are. By default a new folder. */
  readonly folder?: string;
  /** In MiB; by default 64. */
  readonly memory?: number;
  /** One to four; by default two raw ones. */
  readonly disks?: readonly CounterDisk[];
  readonly settings?: CounterSettings;
  /** Ticks per second, at most; by default 100. The guest sleeps between them. */
  readonly rate?: number;
  /** More arguments for QEMU. */
  readonly args?: readonly string[];
  /** By default `pc`. */
  readonly machine?: string;
  /** What QEMU's environment has beside that of the tests. */
  readonly environment?: Readonly<Record<string, string>>;
}

export interface CounterGuest extends Guest {
  readonly settings: CounterSettings;
  /** The last count that it has printed. */
  count(): number;
  /** Waits until it has counted on by `ticks` from now; gives the count. */
  ticks(ticks: number): Promise<number>;
}

/** Starts it and waits for the first tick (unless `args` has `-S`). Device ids are `disk0`, `disk1`, …; so are those of the block nodes. */
export async function startCounterGuest(options: CounterGuestOptions = {}): Promise<CounterGuest> {
  const { disks = [{}, {}], settings = defaultSettings, rate = 100, args = [], memory = 64, machine = "pc" } = options;
  const place = guestFolder(options.folder);
  const images = disks.map(({ format = "raw", size = 16 * 1024 * 1024 }, number) => {
    const file = path.join(place.folder, `disk${String(number)}.${format}`);
    const content = number === 0 ? bootSector(settings, rate, disks.length) : undefined;
    if (!fs.existsSync(file)) makeImage(file, format, size, content);
    return file;
  });
  const blocks = disks.flatMap((disk, number) => blockArguments(number, disk, images[number] ?? ""));
  const controller = disks.some(({ device }) => device === "scsi-hd") ? ["-device", "virtio-scsi-pci,id=scsi"] : [];
  const argv = [
    ...commonArguments(place.folder),
    "-machine",
    machine,
    "-m",
    String(memory),
    ...controller,
    ...blocks,
    ...args,
  ];
  const guest = await startQemu(place, argv, images, options.environment);
  const count = (): number => readSerialCount(guest.serial);
  const ticks = async (more: number): Promise<number> => {
    const target = count() + more;
    await waitFor(`count ${String(target)} of the guest`, () => count() >= target);
    return count();
  };
  if (!args.includes("-S")) await ticks(1);
  return { ...guest, settings, count, ticks };
}

function blockArguments(number: number, disk: CounterDisk, file: string): string[] {
  const { format = "raw", device = "virtio-blk-pci" } = disk;
  const id = `disk${String(number)}`;
  return [
    "-blockdev",
    `driver=file,node-name=${id}-file,filename=${file},discard=unmap`,
    "-blockdev",
    `driver=${format},node-name=${id},file=${id}-file,discard=unmap`,
    "-device",
    `${device},id=${id},drive=${id},bootindex=${String(number)}`,
  ];
}

/** Assembled from counter.S, with what the guest is to do written into its last bytes; `rate` is of ticks per second. */
export function bootSector(settings: CounterSettings, rate: number, disks: number): Buffer {
  const sector = assemble(path.join(import.meta.dirname, "counter.S"));
  sector.writeUInt16LE(Math.min(0xffff, Math.round(1_193_182 / rate)), 0x1f0);
  sector.writeUInt32LE(settings.sectors - 1, 0x1f2);
  sector.writeUInt32LE(settings.pages - 1, 0x1f6);
  sector.writeUInt8(disks, 0x1fa);
  return sector;
}
