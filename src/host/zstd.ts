/**
 * zstd (RFC 8878) into memory that the caller has.
 *
 * Node's own functions make a stream, a context and an output buffer for each call: 30 to 50 us, many times the work itself for
 * a small blob, and garbage by the gigabyte. Node's program exports the functions of the library it is built with, so where it
 * has `node:ffi` they are called; elsewhere `node:zlib` does the same, slower.
 *
 * They are the functions that keep no context. One that is kept would save 15 us for a small blob and cost 60 for one of
 * 128 KiB; and a thread that is ended would leave it behind.
 */
import { constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";

/** How well and how fast; 1 is the fast end of zstd's usual levels. */
const level = 1;

/** The most that `compressInto` writes for so many bytes (ZSTD_COMPRESSBOUND). Both in bytes. */
export function compressBound(length: number): number {
  return length + (length >> 8) + (length < 128 * 1024 ? (128 * 1024 - length) >> 11 : 0);
}

/** One frame of `raw`, written to the beginning of `target`, which has room for `compressBound`. Returns the frame's length. */
export function compressInto(target: Uint8Array, raw: Uint8Array): number {
  if (target.length < compressBound(raw.length)) throw new RangeError("too little room to compress into");
  return zstd().compress(target, raw);
}

/**
 * The content of the frames in `packed`, written to the beginning of `target`. Returns its length in bytes.
 *
 * Throws when they are damaged, incomplete, or hold more than there is room for.
 */
export function decompressInto(target: Uint8Array, packed: Uint8Array): number {
  if (packed.length === 0) throw new RangeError("no zstd frame");
  return zstd().decompress(target, packed);
}

export interface Zstd {
  compress(target: Uint8Array, raw: Uint8Array): number;
  decompress(target: Uint8Array, packed: Uint8Array): number;
}

let loaded: Zstd | undefined;

function zstd(): Zstd {
  loaded ??= native() ?? portable;
  return loaded;
}

/** Not every program that runs this exports zstd: a Node of a distribution is linked to a shared library. */
function native(): Zstd | undefined {
  const ffi = process.getBuiltinModule("node:ffi");
  if (!ffi) return undefined;
  try {
    const { functions } = ffi.dlopen(null, {
      ZSTD_compress: { arguments: ["buffer", "u64", "buffer", "u64", "i32"], return: "u64" },
      ZSTD_decompress: { arguments: ["buffer", "u64", "buffer", "u64"], return: "u64" },
    });
    return {
      compress: (target, raw) =>
        checked(functions.ZSTD_compress(target, BigInt(target.length), raw, BigInt(raw.length), level), target),
      decompress: (target, packed) =>
        checked(functions.ZSTD_decompress(target, BigInt(target.length), packed, BigInt(packed.length)), target),
    };
  } catch {
    return undefined;
  }
}

/** A length; errors are the greatest numbers (ZSTD_isError), so always more than there is room for. */
function checked(result: bigint, target: Uint8Array): number {
  if (result > BigInt(target.length)) throw new RangeError(`zstd error ${BigInt.asIntN(64, -result)}`);
  return Number(result);
}

/** With what every Node has. */
export const portable: Zstd = {
  compress(target, raw) {
    const frame = zstdCompressSync(raw, {
      chunkSize: Math.max(64, compressBound(raw.length)),
      params: { [constants.ZSTD_c_compressionLevel]: level },
    });
    target.set(frame);
    return frame.length;
  },
  decompress(target, packed) {
    const content = zstdDecompressSync(packed, {
      chunkSize: Math.max(64, target.length),
      maxOutputLength: Math.max(1, target.length),
    });
    target.set(content);
    return content.length;
  },
};
