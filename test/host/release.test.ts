import { createCipheriv } from "node:crypto";
import { constants, zstdCompressSync } from "node:zlib";
import { expect, test } from "vitest";
import { release } from "../../src/host/release.ts";

test("the memory of outputs of zlib and ciphers is gone at once, not when garbage is collected", () => {
  const cipher = createCipheriv("aes-256-gcm", Buffer.alloc(32), Buffer.alloc(12));
  const outputs = [
    zstdCompressSync(Buffer.alloc(100_000), { chunkSize: 101_000, params: { [constants.ZSTD_c_compressionLevel]: 1 } }),
    cipher.update(Buffer.alloc(100_000)),
    Buffer.allocUnsafeSlow(10),
  ];
  for (const output of outputs) {
    const memory = output.buffer;
    release(output);
    expect(output).toHaveLength(0);
    expect(memory.byteLength).toBe(0);
  }
});

test("repeating it is harmless", () => {
  const bytes = Buffer.alloc(100_000);
  release(bytes);
  release(bytes);
  expect(bytes).toHaveLength(0);
});

test("what shares its memory with others stays: Node's pool of small buffers, memory shared between threads", () => {
  const pooled = Buffer.from("one of many");
  const shared = new Uint8Array(new SharedArrayBuffer(8));
  release(pooled);
  release(shared);
  expect(pooled.toString()).toBe("one of many");
  expect(shared).toHaveLength(8);
});
