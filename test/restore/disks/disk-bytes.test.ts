import * as fc from "fast-check";
import { expect, it } from "vitest";
import { type DiskBytes, readRange, sliceOf, withChanges } from "../../../src/restore/disks/disk-bytes.ts";

const size = 20_000;

function diskOf(content: Buffer): DiskBytes {
  const read = async (offset: number, length: number): Promise<Buffer | undefined> => {
    if (offset < 0 || offset + length > content.length) throw new Error("outside of the disk");
    const bytes = content.subarray(offset, offset + length);
    return await Promise.resolve(bytes.every((byte) => byte === 0) ? undefined : bytes);
  };
  return { size: content.length, read };
}

it("a disk with changes reads as if they had been made", async () => {
  const range = fc.record({ offset: fc.nat(size - 1), length: fc.integer({ min: 1, max: 9000 }), value: fc.nat(255) });
  await fc.assert(
    fc.asyncProperty(fc.array(range, { maxLength: 8 }), fc.array(range, { maxLength: 8 }), async (writes, reads) => {
      const model = Buffer.alloc(size);
      model.fill("below", 5000, 15_000);
      const changed = withChanges(diskOf(Buffer.from(model)), 1024 * 1024);
      for (const { offset, length, value } of writes) {
        const bytes = Buffer.alloc(Math.min(length, size - offset), value);
        changed.write(offset, bytes);
        bytes.copy(model, offset);
      }
      for (const { offset, length } of reads)
        expect((await readRange(changed, offset, length)).equals(model.subarray(offset, offset + length))).toBe(true);
    }),
  );
});

it("more changes than there is room for are refused", () => {
  const changed = withChanges(diskOf(Buffer.alloc(size)), 8192);
  changed.write(0, Buffer.alloc(8192, 1));
  changed.write(100, Buffer.alloc(50, 2));
  expect(() => changed.write(8192, Buffer.alloc(1))).toThrow(/more than 8192 bytes/);
});

it("a slice never reaches beyond its disk", async () => {
  const content = Buffer.from("0123456789");
  expect(sliceOf(diskOf(content), 8, 100).size).toBe(2);
  expect(sliceOf(diskOf(content), 100, 100).size).toBe(0);
  expect((await readRange(sliceOf(diskOf(content), 3, 4), 1, 100)).toString()).toBe("456");
});
