/** What is to be done with each block of a disk: decided from what QEMU says of it, without reading it. */
import type { Extent } from "../../nbd/replies.ts";

/** One byte for each block. */
export const disposition = {
  /** All zeros. */
  hole: 0,
  /** As in the earlier point: taken over. */
  keep: 1,
  read: 2,
  /** Said to be as in the earlier point: read all the same, and compared. */
  verify: 3,
} as const;

/** Flags of the context `base:allocation` (NBD's doc/proto.md): reads as zeros. */
const zeroFlag = 2;
/** Flags of the contexts `qemu:dirty-bitmap:…` (docs/interop/nbd.rst of QEMU's source). */
const dirtyFlag = 1;

/** A disk that is read as a whole, but for what is known to be zeros. */
export function planFull(size: number, block: number, allocation: readonly Extent[]): Uint8Array {
  const plan = new Uint8Array(Math.ceil(size / block));
  mark(plan, block, allocation, (flags) => (flags & zeroFlag) === 0, disposition.read);
  return plan;
}

/** Only what changed is read, but for what is known to be zeros. */
export function planChanges(
  size: number,
  block: number,
  { changes, allocation }: { readonly changes: readonly Extent[]; readonly allocation: readonly Extent[] },
): Uint8Array {
  const plan = planFull(size, block, allocation);
  const changed = new Uint8Array(plan.length);
  mark(changed, block, changes, (flags) => (flags & dirtyFlag) !== 0, 1);
  return plan.map((what, number) => (changed[number] === 1 ? what : disposition.keep));
}

/** Of the unchanged blocks one in a thousand is verified, within these bounds. */
const fewestSamples = 16;
const mostSamples = 1024;

/** Chooses blocks to be verified; `fraction` gives random numbers from 0 up to 1. */
export function addSamples(plan: Uint8Array, fraction: () => number): void {
  const samples = Math.min(mostSamples, Math.max(fewestSamples, Math.round(plan.length / 1000)));
  for (let count = 0; count < samples; count++) {
    const number = Math.floor(fraction() * plan.length);
    if (plan[number] === disposition.keep) plan[number] = disposition.verify;
  }
}

/** Sets every block that one of the extents touches. Extents are in order, and begin at 0. */
function mark(
  plan: Uint8Array,
  block: number,
  extents: readonly Extent[],
  applies: (flags: number) => boolean,
  value: number,
): void {
  let offset = 0;
  for (const { length, flags } of extents) {
    const end = offset + length;
    if (applies(flags)) plan.fill(value, Math.floor(offset / block), Math.ceil(end / block));
    offset = end;
  }
}
