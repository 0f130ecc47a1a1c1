/** Memory for packs. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { PackMemory } from "../../../src/repository/blobs/pack-memory.ts";

const usual = 1000;

describe("PackMemory", () => {
  test("holds what was appended, in order, and its end in the same piece where that fits", () => {
    const lengths = fc.array(fc.nat(300), { maxLength: 9 });
    fc.assert(
      fc.property(lengths, fc.nat(300), (each, ending) => {
        const pack = new PackMemory(usual).take(0);
        const expected: Buffer[] = [];
        for (const [number, length] of each.entries()) {
          if (!pack.fits(length)) break;
          const room = pack.append(length);
          expect(room.length).toBe(length);
          room.fill(number + 1);
          expected.push(Buffer.alloc(length, number + 1));
        }
        const content = Buffer.concat(expected);
        expect(pack.length).toBe(content.length);
        const end = Buffer.alloc(ending, 77);
        const whole = pack.endedBy(end);
        expect(Buffer.concat(whole).equals(Buffer.concat([content, end]))).toBe(true);
        expect(whole).toHaveLength(content.length + ending <= usual ? 1 : 2);
      }),
    );
  });

  test("gives the next pack what one before it has left, but no two the same", () => {
    const memory = new PackMemory(usual);
    const first = memory.take(10);
    first.append(800);
    const second = memory.take(10);
    expect(second.memory).not.toBe(first.memory);
    memory.giveBack(first);
    const third = memory.take(10);
    expect(third.memory).toBe(first.memory);
    expect(third.length).toBe(0);
    expect(memory.take(10).memory).not.toBe(first.memory);
  });

  test("holds an unusually large pack, and keeps none of its memory", () => {
    const memory = new PackMemory(usual);
    const large = memory.take(5 * usual);
    expect(large.append(5 * usual)).toHaveLength(5 * usual);
    expect(large.fits(1)).toBe(false);
    expect(() => large.append(1)).toThrow(RangeError);
    memory.giveBack(large);
    expect(large.memory).toHaveLength(0);
    expect(memory.take(1).memory).toHaveLength(usual);
  });

  test("is shared: V8 doesn't count it, and other threads get it uncopied", () => {
    expect(new PackMemory(usual).take(1).memory.buffer).toBeInstanceOf(SharedArrayBuffer);
  });
});
