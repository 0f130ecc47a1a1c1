/** Bytes in pieces. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Pieces } from "../../../src/repository/blobs/pieces.ts";

describe("Pieces", () => {
  test("hold what was appended, in order, however long each is", () => {
    const lengths = fc.array(fc.oneof(fc.nat(300), fc.integer({ min: 2 ** 20 - 50, max: 2 ** 20 + 50 })), {
      maxLength: 9,
    });
    fc.assert(
      fc.property(lengths, (each) => {
        const pieces = new Pieces();
        const expected: Buffer[] = [];
        for (const [number, length] of each.entries()) {
          const room = pieces.append(length);
          expect(room.length).toBe(length);
          room.fill(number + 1);
          expected.push(Buffer.alloc(length, number + 1));
        }
        expect(pieces.length).toBe(Buffer.concat(expected).length);
        expect(Buffer.concat(pieces.all).equals(Buffer.concat(expected))).toBe(true);
      }),
      { numRuns: 30 },
    );
  });

  test("give their memory back", () => {
    const pieces = new Pieces();
    const rooms = [pieces.append(10), pieces.append(2 ** 21), pieces.append(10)];
    pieces.release();
    expect(rooms.map(({ length }) => length)).toEqual([0, 0, 0]);
  });
});
