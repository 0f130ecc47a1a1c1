import { syncBuiltinESMExports } from "node:module";
import zlib from "node:zlib";
import { expect, onTestFinished, test, vi } from "vitest";
import { syscallsAvailable } from "../../src/host/syscalls.ts";
import { compressBound, compressInto, decompressInto } from "../../src/host/zstd.ts";

// The Node that the project brings exports zstd: if it no longer did, all would still work, and take half as long again.
test.runIf(syscallsAvailable())("the library in Node itself is called, not Node's streams", () => {
  const streams = [vi.spyOn(zlib, "zstdCompressSync"), vi.spyOn(zlib, "zstdDecompressSync")];
  syncBuiltinESMExports();
  onTestFinished(() => {
    for (const stream of streams) stream.mockRestore();
    syncBuiltinESMExports();
  });
  const raw = Buffer.from("a recovery point ".repeat(500));
  const packed = Buffer.alloc(compressBound(raw.length));
  const length = compressInto(packed, raw);
  expect(length).toBeLessThan(raw.length / 10);
  const content = Buffer.alloc(raw.length);
  expect(decompressInto(content, packed.subarray(0, length))).toBe(raw.length);
  expect(content.equals(raw)).toBe(true);
  for (const stream of streams) expect(stream).not.toHaveBeenCalled();
});
