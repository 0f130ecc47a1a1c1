/**
 * Changed-block tracking by QEMU's dirty bitmaps (docs/interop/bitmaps.rst of QEMU's source).
 *
 * At each instant every writable disk gets a new bitmap, whose random name goes into the manifest. The next capture looks
 * for the bitmap of that name: there is one only if it has recorded every write since that very instant. So nothing has to be
 * remembered elsewhere, and whatever became of other captures, their bitmaps have names that no manifest knows.
 */
import { randomBytes } from "../../host/random.ts";
import type { Qmp } from "../../qemu/qmp.ts";
import { imageBlock } from "../../repository/format.ts";
import type { ImagePart, RecoveryPoint } from "../../repository/points/manifest.ts";
import type { Disk } from "./disks.ts";
import { step } from "./trouble.ts";
import type { Undo } from "./undo.ts";

export interface NewBitmap {
  readonly disk: Disk;
  readonly name: string;
}

/** What an earlier point has of a disk, and the bitmap that has recorded the changes since. */
export interface Base {
  readonly bitmap: string;
  readonly image: ImagePart;
}

const ownPattern = /^stillpoint-[0-9a-f]{16}$/;
const copyName = "stillpoint-changes";

/** What may be taken over from the earlier point, or why nothing may. */
export function findBase(disk: Disk, previous: RecoveryPoint | undefined): Base | string {
  const { medium, name } = disk;
  const machine = previous?.manifest.machine;
  if (previous === undefined || machine === undefined) return "there is no earlier point to rely on";
  const earlier = machine.disks.find((one) => one.name === name);
  const image = previous.manifest.parts.find((part) => part.name === `disk/${name}`);
  if (earlier === undefined || image?.kind !== "image") return "the earlier point doesn't have this disk";
  if (earlier.bitmap === null) return "no bitmap was begun at the earlier point";
  if (earlier.size !== medium.size || image.size !== medium.size) return "its size has changed";
  if (earlier.file !== medium.file) return "its image file is another one";
  if (image.block !== imageBlock) return "the earlier point has blocks of another size";
  const bitmap = medium.bitmaps.find((one) => one.name === earlier.bitmap);
  if (bitmap === undefined) return "its bitmap is gone: QEMU was started anew, or the disk was replaced";
  if (bitmap.inconsistent) return "its bitmap is inconsistent: QEMU didn't end in good order";
  if (!bitmap.recording || bitmap.busy) return "its bitmap was disabled, or is used by somebody else";
  return { bitmap: bitmap.name, image };
}

/** The bitmap that must stay for the next capture to rely on. */
export function bitmapOf(base: Base | string | undefined): string | undefined {
  return typeof base === "object" ? base.bitmap : undefined;
}

/** Removes our bitmaps from a disk but the one to `keep`: those of captures that came to nothing, and of earlier points. */
export async function removeBitmaps(qmp: Qmp, { medium }: Disk, keep: string | undefined): Promise<void> {
  for (const { name, busy } of medium.bitmaps) {
    if (busy || name === keep || !(ownPattern.test(name) || name === copyName)) continue;
    await step("remove an old bitmap", qmp.execute("block-dirty-bitmap-remove", { node: medium.node, name }));
  }
}

/** Begins a bitmap on each disk, on all or on none. The guest must stand still. */
export async function addBitmaps(qmp: Qmp, disks: readonly Disk[]): Promise<NewBitmap[]> {
  if (disks.length === 0) return [];
  const bitmaps = disks.map((disk) => ({ disk, name: `stillpoint-${randomBytes(8).toString("hex")}` }));
  const actions = bitmaps.map(({ disk: { medium }, name }) => ({
    type: "block-dirty-bitmap-add",
    data: { node: medium.node, name, granularity: imageBlock, persistent: medium.keepsBitmaps },
  }));
  await qmp.execute("transaction", { actions });
  return bitmaps;
}

/**
 * A copy of the bitmap that can be exported: one that stands still. The original goes on, so that it is right whatever becomes
 * of this capture. Made when the guest runs again, the copy may also have blocks that were written after the instant; to read
 * those too does no harm.
 */
export async function copyBitmap(qmp: Qmp, { medium: { node } }: Disk, base: string, undo: Undo): Promise<string> {
  const copy = { node, name: copyName };
  const made = { ...copy, granularity: imageBlock, disabled: true };
  await step("copy a bitmap", qmp.execute("block-dirty-bitmap-add", made));
  undo.add("remove the copy of a bitmap", async () => await qmp.execute("block-dirty-bitmap-remove", copy));
  const merge = { node, target: copyName, bitmaps: [base] };
  await step("copy a bitmap", qmp.execute("block-dirty-bitmap-merge", merge));
  return copyName;
}
