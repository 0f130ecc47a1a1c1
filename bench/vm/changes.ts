/** What is changed on a disk between two captures. */
import { randomFillSync } from "node:crypto";
import { rmSync, writeFileSync } from "node:fs";
import type { Qmp } from "../../src/qemu/qmp.ts";
import { mebibyte } from "./guest.ts";

/** A write's size: what one bit of a dirty bitmap stands for. */
const piece = 64 * 1024;

/**
 * Overwrites 1 % of a disk of `size` bytes with random ones at places evenly spread, as the guest would: through QEMU, so that its
 * bitmaps know. `device` is the disk's for QEMU, `file` a name for a moment. Returns how many bytes.
 */
export async function changeDisk(qmp: Qmp, device: string, size: number, file: string): Promise<number> {
  const count = Math.floor(size / 100 / piece);
  const step = Math.floor(size / count / piece) * piece;
  for (let number = 0; number < count; number++) {
    writeFileSync(file, randomFillSync(Buffer.alloc(piece)));
    const write = `write -q -s ${file} ${String(number * step + mebibyte)} ${String(piece)}`;
    const answer = await qmp.hmp(`qemu-io -d /machine/peripheral/${device}/virtio-backend "${write}"`);
    if (answer.trim() !== "") throw new Error(answer);
  }
  rmSync(file);
  return count * piece;
}
