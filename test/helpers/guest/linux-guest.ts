/** A real Linux: Debian's cloud kernel, which scripts/bootstrap.sh fetches, and BusyBox. Under TCG it is up in about 3 s. */
import { execFileSync } from "node:child_process";
import * as fs from "node:fs";
import * as path from "node:path";
import { commonArguments, type Guest, guestFolder, makeImage, startQemu, waitFor } from "./qemu.ts";

export interface LinuxGuestOptions {
  /** Where the guest's files are; a disk that is there already is taken as it is. By default a new folder. */
  readonly folder?: string;
  /** In MiB; by default 256. */
  readonly memory?: number;
  /** The one disk, with an ext4; by default 64 MiB and raw. */
  readonly disk?: { readonly format?: "raw" | "qcow2"; readonly size?: number };
  /** More arguments for QEMU. */
  readonly args?: readonly string[];
  /** By default `pc`. */
  readonly machine?: string;
  /** Kernel modules to load besides those of the disk, by path below `kernel/`, in order. */
  readonly modules?: readonly string[];
  /** What it does instead of counting: a shell script, for BusyBox, with the disk mounted at /disk. */
  readonly script?: string;
}

export interface LinuxGuest extends Guest {
  /** What it has printed so far, as whole lines. */
  lines(): string[];
  /** The last count that it has printed, or 0. */
  count(): number;
  /** Waits until it has counted on by `ticks` from now; gives the count. */
  ticks(ticks: number): Promise<number>;
}

const kernel = path.join(import.meta.dirname, "../../../.cache/guest-kernel");

const diskModules = [
  "drivers/virtio/virtio_ring.ko",
  "drivers/virtio/virtio.ko",
  "drivers/virtio/virtio_pci_legacy_dev.ko",
  "drivers/virtio/virtio_pci_modern_dev.ko",
  "drivers/virtio/virtio_pci.ko",
  "drivers/block/virtio_blk.ko",
];

/**
 * Counts five times a second: in a variable, in a page of a tmpfs and in a file on its disk, synced, before it prints
 * `tick N`. It goes on from what is on the disk.
 */
const counting = `
count=$(cat /disk/count 2>/dev/null || echo 0)
while :; do
  count=$((count + 1))
  echo $count >/run/count
  echo $count >/disk/count
  sync
  echo "tick $count"
  sleep 0.2
done
`;

/** Starts it; with the script that counts, waits for the first tick. The disk's device and block node are called `disk0`. */
export async function startLinuxGuest(options: LinuxGuestOptions = {}): Promise<LinuxGuest> {
  const { memory = 256, args = [], machine = "pc", script = counting, modules = [] } = options;
  const { format = "raw", size = 64 * 1024 * 1024 } = options.disk ?? {};
  const place = guestFolder(options.folder);
  const inside = (name: string): string => path.join(place.folder, name);
  const disk = inside(`disk0.${format}`);
  if (!fs.existsSync(disk)) makeImage(disk, format, size, emptyExt4(inside("ext4"), size));
  makeInitramfs(inside("initramfs"), [...diskModules, ...modules], script);
  const argv = [
    ...commonArguments(place.folder),
    "-machine",
    machine,
    "-cpu",
    "max",
    "-m",
    String(memory),
    "-kernel",
    path.join(kernel, "vmlinuz"),
    "-initrd",
    inside("initramfs"),
    "-append",
    "console=ttyS0 quiet loglevel=3 panic=-1 random.trust_cpu=on",
    "-blockdev",
    `driver=file,node-name=disk0-file,filename=${disk},discard=unmap`,
    "-blockdev",
    `driver=${format},node-name=disk0,file=disk0-file,discard=unmap`,
    "-device",
    "virtio-blk-pci,id=disk0,drive=disk0",
    ...args,
  ];
  const guest = await startQemu(place, argv, [disk]);
  const lines = (): string[] => {
    const text = fs.existsSync(guest.serial) ? fs.readFileSync(guest.serial, "latin1") : "";
    return text.split(/\r?\n/).slice(0, -1);
  };
  const count = (): number =>
    Number(/^tick ([0-9]+)$/.exec(lines().findLast((line) => /^tick [0-9]+$/.test(line)) ?? "")?.[1] ?? 0);
  const ticks = async (more: number): Promise<number> => {
    const target = count() + more;
    await waitFor(`tick ${String(target)} of the guest`, () => count() >= target);
    return count();
  };
  if (script === counting && !args.includes("-S")) await ticks(1);
  return { ...guest, lines, count, ticks };
}

function emptyExt4(scratch: string, size: number): Buffer {
  fs.writeFileSync(scratch, "");
  fs.truncateSync(scratch, size);
  execFileSync("/sbin/mkfs.ext4", ["-q", "-F", "-E", "lazy_itable_init=0", scratch]);
  const content = fs.readFileSync(scratch);
  fs.unlinkSync(scratch);
  return content;
}

function makeInitramfs(file: string, modules: readonly string[], script: string): void {
  const root = `${file}.root`;
  for (const folder of ["bin", "dev", "proc", "sys", "run", "disk", "modules"]) {
    fs.mkdirSync(path.join(root, folder), { recursive: true });
  }
  fs.copyFileSync("/bin/busybox", path.join(root, "bin/busybox"));
  for (const name of modules)
    fs.copyFileSync(path.join(kernel, "modules", name), path.join(root, "modules", path.basename(name)));
  const init = `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs run /run
for module in ${modules.map((name) => path.basename(name)).join(" ")}; do insmod /modules/$module; done
mount -t ext4 /dev/vda /disk
${script}`;
  fs.writeFileSync(path.join(root, "init"), init, { mode: 0o755 });
  const names = fs.readdirSync(root, { recursive: true, encoding: "utf8" });
  const archive = execFileSync("busybox", ["cpio", "-o", "-H", "newc"], {
    cwd: root,
    input: `${[".", ...names].join("\n")}\n`,
    maxBuffer: 256 * 1024 * 1024,
    stdio: ["pipe", "pipe", "ignore"],
  });
  fs.writeFileSync(file, archive);
  fs.rmSync(root, { recursive: true });
}
