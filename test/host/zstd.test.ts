import fc from "fast-check";
import { expect, test } from "vitest";
import { zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { compressBound, compressInto, decompressInto, portable } from "../../src/host/zstd.ts";

const native = { compress: compressInto, decompress: decompressInto };

function compress(zstd: typeof native, raw: Uint8Array): Buffer {
  const room = Buffer.alloc(compressBound(raw.length));
  return Buffer.from(room.subarray(0, zstd.compress(room, raw)));
}

function decompress(zstd: typeof native, packed: Uint8Array, length: number): Buffer {
  const room = Buffer.alloc(length, 0xee);
  return Buffer.from(room.subarray(0, zstd.decompress(room, packed)));
}

const content = fc.oneof(
  fc.uint8Array({ maxLength: 300 }),
  fc.tuple(fc.uint8Array({ minLength: 1, maxLength: 40 }), fc.nat(20_000)).map(([piece, times]) => {
    return new Uint8Array(Buffer.alloc(piece.length + times, piece));
  }),
);

test("what either way compresses, both and Node's own function bring back", () => {
  fc.assert(
    fc.property(content, (raw) => {
      for (const packed of [compress(native, raw), compress(portable, raw), zstdCompressSync(raw)]) {
        expect(zstdDecompressSync(packed).equals(raw)).toBe(true);
        expect(decompress(native, packed, raw.length).equals(raw)).toBe(true);
        expect(decompress(portable, packed, raw.length).equals(raw)).toBe(true);
      }
    }),
  );
});

test("the room asked for is enough for what doesn't shrink", () => {
  for (const length of [0, 1, 63, 1000, 131_072, 2_000_000]) {
    const raw = crypto.getRandomValues(new Uint8Array(Math.min(length, 65_536)));
    const long = Buffer.concat(Array.from({ length: Math.ceil(length / 65_536) }, () => raw)).subarray(0, length);
    expect(decompress(native, compress(native, long), length).equals(long)).toBe(true);
  }
  expect(() => compressInto(Buffer.alloc(10), Buffer.alloc(10))).toThrow(RangeError);
});

test.each([
  ["the library's functions", native],
  ["Node's own functions", portable],
])("what is damaged, cut off or too long is refused, and nothing is written behind the room: %s", (_, zstd) => {
  const raw = Buffer.from("a recovery point ".repeat(500));
  const packed = compress(zstd, raw);
  const around = Buffer.alloc(raw.length + 64, 0xaa);
  expect(() => zstd.decompress(around.subarray(0, raw.length - 1), packed)).toThrow(RangeError);
  expect(around.subarray(raw.length - 1).every((byte) => byte === 0xaa)).toBe(true);
  expect(() => zstd.decompress(Buffer.alloc(raw.length), packed.subarray(0, -3))).toThrow(Error);
  expect(() => decompressInto(Buffer.alloc(raw.length), packed.subarray(0, 0))).toThrow(Error);
  const flipped = Buffer.from(packed);
  flipped[0] = 0;
  expect(() => zstd.decompress(Buffer.alloc(raw.length), flipped)).toThrow(Error);
  expect(decompress(zstd, packed, raw.length).equals(raw)).toBe(true);
});

test("a view into a larger buffer is taken as it is", () => {
  const memory = Buffer.from("xxxxhello hello hello hello hello hello hello hello helloyyyy");
  const raw = memory.subarray(4, -4);
  expect(zstdDecompressSync(compress(native, raw)).equals(raw)).toBe(true);
});
