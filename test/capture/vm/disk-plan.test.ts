import fc from "fast-check";
import { expect, it } from "vitest";
import { addSamples, disposition, planChanges, planFull } from "../../../src/capture/vm/disk-plan.ts";

const block = 8;
const data = 0;
const zero = 2;
const dirty = 1;

/** Extents of a disk: lengths and flags. */
function extents(...flags: readonly number[]) {
  return fc.array(fc.record({ length: fc.integer({ min: 1, max: 30 }), flags: fc.constantFrom(...flags) }), {
    maxLength: 12,
  });
}

/** The flags of each byte. */
function flagsOf(list: readonly { length: number; flags: number }[], size: number): number[] {
  const flags = list.flatMap((one) => Array.from({ length: one.length }, () => one.flags));
  return Array.from({ length: size }, (_, at) => flags[at] ?? 0);
}

function blocksOf<T>(bytes: readonly T[]): T[][] {
  return Array.from({ length: Math.ceil(bytes.length / block) }, (_, number) =>
    bytes.slice(number * block, (number + 1) * block),
  );
}

it("reads every block of a full pass that isn't all zeros, and no other", () => {
  fc.assert(
    fc.property(extents(data, zero, 3), (allocation) => {
      const size = allocation.reduce((sum, { length }) => sum + length, 0);
      const expected = blocksOf(flagsOf(allocation, size)).map((flags) =>
        flags.every((flag) => (flag & zero) !== 0) ? disposition.hole : disposition.read,
      );
      expect([...planFull(size, block, allocation)]).toEqual(expected);
    }),
  );
});

it("keeps every block without a change, and treats those with one as in a full pass", () => {
  fc.assert(
    fc.property(extents(data, zero), extents(0, dirty), (allocation, changes) => {
      const size = allocation.reduce((sum, { length }) => sum + length, 0);
      const full = planFull(size, block, allocation);
      // QEMU tells of exactly the disk.
      const covered = flagsOf(changes, size).map((flags) => ({ length: 1, flags }));
      const expected = blocksOf(flagsOf(covered, size)).map((flags, number) =>
        flags.includes(dirty) ? full[number] : disposition.keep,
      );
      expect([...planChanges(size, block, { changes: covered, allocation })]).toEqual(expected);
    }),
  );
});

it("verifies some of the kept blocks, and changes nothing else", () => {
  const plan = new Uint8Array(4000).fill(disposition.keep);
  plan.fill(disposition.read, 0, 1000);
  const before = plan.slice();
  let step = 0;
  addSamples(plan, () => (step++ * 0.37) % 1);
  const verified = [...plan.keys()].filter((number) => plan[number] !== before[number]);
  expect(verified.length).toBeGreaterThan(5);
  expect(verified.every((number) => plan[number] === disposition.verify && number >= 1000)).toBe(true);
});
