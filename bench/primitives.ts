/**
 * What the machine reaches with the primitives alone, in two threads: read, HMAC, zstd, AES-GCM, and the opening again.
 * Nothing is looked up, packed or written. The reference for a first capture.
 */
import { createCipheriv, createDecipheriv, createHmac } from "node:crypto";
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { Worker, isMainThread, workerData } from "node:worker_threads";
import { release } from "../src/host/release.ts";
import { compressBound, compressInto, decompressInto } from "../src/host/zstd.ts";

const block = 128 * 1024;
const slice = 8 * block;
const threads = 2;
const key = Buffer.alloc(32, 7);
const nonce = Buffer.alloc(12);
const associated = Buffer.alloc(38);
const zeros = Buffer.alloc(block);
const packedRoom = Buffer.allocUnsafeSlow(compressBound(block));
const unpackedRoom = Buffer.allocUnsafeSlow(block);

if (isMainThread) {
  const image = process.argv[2] ?? "";
  for (let thread = 0; thread < threads; thread++) {
    const worker = new Worker(new URL(import.meta.url), { workerData: { image, thread } });
    worker.on("error", (error) => {
      throw error;
    });
  }
} else {
  const { image, thread } = workerData as { readonly image: string; readonly thread: number };
  work(image, thread);
}

/** Every second slice, so that both threads have the same mixture. */
function work(image: string, thread: number): void {
  const file = openSync(image, "r");
  const { size } = fstatSync(file);
  const buffer = Buffer.allocUnsafeSlow(slice);
  for (let at = thread * slice; at < size; at += threads * slice) {
    const length = readSync(file, buffer, 0, slice, at);
    for (let from = 0; from < length; from += block) takeBlock(buffer.subarray(from, Math.min(from + block, length)));
  }
  closeSync(file);
}

function takeBlock(raw: Buffer): void {
  if (raw.equals(zeros.subarray(0, raw.length))) return;
  createHmac("sha256", key).update(raw).digest();
  const packed = packedRoom.subarray(0, compressInto(packedRoom, raw));
  const cipher = createCipheriv("aes-256-gcm", key, nonce);
  cipher.setAAD(associated);
  const sealed = cipher.update(packed);
  cipher.final();
  const decipher = createDecipheriv("aes-256-gcm", key, nonce, { authTagLength: 16 });
  decipher.setAAD(associated);
  decipher.setAuthTag(cipher.getAuthTag());
  const opened = decipher.update(sealed);
  decipher.final();
  const unpacked = unpackedRoom.subarray(0, decompressInto(unpackedRoom, opened));
  if (!unpacked.equals(raw)) throw new Error("a block didn't come back as it was");
  for (const bytes of [sealed, opened]) release(bytes);
}
