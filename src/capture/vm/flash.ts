/**
 * Flash memory that a guest can write to, such as the store of its EFI variables. QEMU keeps its content twice: in a disk, and
 * in a block of RAM that processors read directly.
 *
 * That block can't be write-protected (`ram_write_tracking_start` of QEMU's migration/ram.c leaves such out), so a save made
 * while the guest runs may have it as it was later. The disk has a point like any other, so it takes the block's place.
 */
import type { Qmp } from "../../qemu/qmp.ts";
import type { RamBlock } from "../../repository/points/machine.ts";
import type { ImagePart, Part } from "../../repository/points/manifest.ts";
import type { Disk } from "./disks.ts";
import { step } from "./trouble.ts";

/** The names of those disks that are flash memory, by the names of their blocks of RAM. */
export type Flash = ReadonlyMap<string, string>;

export async function findFlash(qmp: Qmp, disks: readonly Disk[]): Promise<Flash> {
  const found = new Map<string, string>();
  for (const { name, device: path, medium } of disks) {
    if (medium.readOnly) continue;
    const get = async (property: string): Promise<string> =>
      await step(`look at the disk ${name}`, qmp.execute<string>("qom-get", { path, property }));
    if ((await get("type")).startsWith("cfi.pflash")) found.set(await get("name"), name);
  }
  return found;
}

/** The parts of memory, with the content of flash memory from its disks. `blocks` are the blocks of RAM, in their order. */
export function flashFromDisks(
  memory: readonly Part[],
  blocks: readonly RamBlock[],
  flash: Flash,
  disks: ReadonlyMap<string, ImagePart>,
): Part[] {
  const instead = new Map<string, ImagePart>();
  for (const [number, { id, size }] of blocks.entries()) {
    const disk = disks.get(flash.get(id) ?? "");
    if (disk?.size === size) instead.set(`memory/${number}`, { ...disk, name: `memory/${number}` });
  }
  return memory.map((part) => instead.get(part.name) ?? part);
}
