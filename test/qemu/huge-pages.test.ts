import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { joinPages } from "../../src/qemu/huge-pages.ts";

const mebibyte = 2 ** 20;
/** Larger than what is taken for malloc's own. */
const size = 72 * mebibyte;

/** Of this process, in bytes. */
function memory(line: "AnonHugePages" | "Anonymous"): number {
  const rollup = readFileSync("/proc/self/smaps_rollup", "latin1");
  return Number(new RegExp(`^${line}:\\s+([0-9]+) kB$`, "m").exec(rollup)?.[1]) * 1024;
}

test("memory in small pages is joined, and memory that was never written stays untaken", async ({ skip }) => {
  const written = Buffer.alloc(size, 1);
  const unwritten = Buffer.alloc(size);
  // As QEMU's look does: all of it is there, and none of it is its own.
  for (let at = 0; at < size; at += 4096) if (unwritten[at] !== 0) throw new Error("new memory has content");
  const before = { huge: memory("AnonHugePages"), taken: memory("Anonymous") };
  if ((await joinPages(process.pid)) === 0) skip("this host doesn't let us join pages");
  expect(memory("AnonHugePages") - before.huge).toBeGreaterThan(size - 8 * mebibyte);
  expect(memory("Anonymous") - before.taken).toBeLessThan(size / 2);
  expect(written.equals(Buffer.alloc(size, 1))).toBe(true);
  expect(unwritten[size - 1]).toBe(0);
});

test("a process that has ended: nothing is joined", async () => {
  const child = spawn("true");
  await once(child, "exit");
  expect(await joinPages(child.pid ?? 0)).toBe(0);
});

test("cancelled: it stops where it is", async () => {
  const written = Buffer.alloc(size, 1);
  expect(await joinPages(process.pid, AbortSignal.abort())).toBe(0);
  expect(written[0]).toBe(1);
});
