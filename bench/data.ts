/** The data that is measured with: an image made of real files, and changes to it. */
import { createCipheriv } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { open } from "node:fs/promises";
import * as path from "node:path";
import { run } from "./measure.ts";
import type { Source } from "./peers/peer.ts";

const root = path.resolve(import.meta.dirname, "..");

/** Where data and repositories are: STILLPOINT_BENCH, else /var/tmp/stillpoint-bench, or `.cache/bench` of the project. */
export function workFolder(): string {
  const chosen = process.env["STILLPOINT_BENCH"];
  if (chosen !== undefined) return path.resolve(chosen);
  return process.getuid?.() === 0 ? "/var/tmp/stillpoint-bench" : path.join(root, ".cache/bench");
}

export interface Data {
  readonly image: Source;
  readonly tree: Source;
}

/**
 * The folder and the ext4 image made of it. The image is kept between runs; what is measured is a copy of it, since
 * measuring changes it.
 */
export async function makeData(work: string, quick: boolean): Promise<Data> {
  const tree = quick ? "/usr/share" : "/usr";
  const size = quick ? "2G" : "8G";
  const kept = path.join(work, `${quick ? "share" : "usr"}.img`);
  mkdirSync(work, { recursive: true });
  if (!existsSync(kept)) {
    console.log(`Making ${kept}, ${size}, from ${tree}.`);
    const unfinished = `${kept}.new`;
    rmSync(unfinished, { force: true });
    await run({ program: "truncate", args: ["--size", size, unfinished] });
    await run({ program: "/sbin/mkfs.ext4", args: ["-q", "-F", "-d", tree, unfinished] });
    renameSync(unfinished, kept);
  }
  const image = path.join(work, "image.raw");
  rmSync(image, { force: true });
  await run({ program: "cp", args: ["--sparse=always", kept, image] });
  return { image: { name: "image", path: image }, tree: { name: "tree", path: tree } };
}

const pageLength = 4096;

/** Writes `count` random pages at random places. The same `seed` makes the same writes. */
export async function writeRandomly(image: string, count: number, seed: number): Promise<void> {
  const key = Buffer.alloc(32);
  key.writeUInt32BE(seed);
  const random = createCipheriv("aes-256-ctr", key, Buffer.alloc(16));
  const next = (length: number): Buffer => random.update(Buffer.alloc(length));
  await using file = await open(image, "r+");
  const pages = Math.floor((await file.stat()).size / pageLength);
  for (let i = 0; i < count; i++) {
    const page = next(4).readUInt32BE() % pages;
    await file.write(next(pageLength), 0, pageLength, page * pageLength);
  }
  await file.sync();
}

/**
 * The same start for everyone: nothing of an earlier command is still to be written, and what is to be read now has
 * been read just before. With enough memory it all comes from the page cache.
 */
export async function settle(source: string): Promise<void> {
  await run({ program: "sync", args: [] });
  const args = ["-c", 'find "$1" -xdev -type f -exec cat {} + >/dev/null 2>&1; :', "sh", source];
  await run({ program: "sh", args });
}

/** The bytes of all files in a folder. */
export function bytesIn(folder: string): number {
  let bytes = 0;
  for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true })) {
    if (entry.isFile()) bytes += statSync(path.join(entry.parentPath, entry.name)).size;
  }
  return bytes;
}
