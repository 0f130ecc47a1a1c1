import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { expect, onTestFinished, test } from "vitest";
import { joinPages } from "../../src/qemu/huge-pages.ts";

const mebibyte = 2 ** 20;
/** Larger than what is taken for malloc's own. */
const size = 72 * mebibyte;

/** As much memory that is written as memory that isn't. Says when it has both, and at its end whether they are as they were. */
const holder = `
  const size = ${String(size)};
  const written = Buffer.alloc(size, 1);
  const unwritten = Buffer.alloc(size);
  // As QEMU's look does: all of it is there, and none of it is its own.
  for (let at = 0; at < size; at += 4096) if (unwritten[at] !== 0) throw new Error("new memory has content");
  console.log("ready");
  process.stdin.once("data", () => {
    console.log(written.equals(Buffer.alloc(size, 1)) && unwritten[size - 1] === 0 ? "unchanged" : "changed");
    process.exit();
  });
`;

/** Of a process, in bytes. */
function memory(pid: number, line: "AnonHugePages" | "Anonymous"): number {
  const rollup = readFileSync(`/proc/${String(pid)}/smaps_rollup`, "latin1");
  return Number(new RegExp(`^${line}:\\s+([0-9]+) kB$`, "m").exec(rollup)?.[1]) * 1024;
}

// In a process of its own: what this one has frees memory whenever it likes.
test("memory in small pages is joined, and memory that was never written stays untaken", async ({ skip }) => {
  const child = spawn(process.execPath, ["-e", holder], { stdio: ["pipe", "pipe", "inherit"] });
  onTestFinished(() => void child.kill("SIGKILL"));
  const { pid = 0 } = child;
  const said = createInterface(child.stdout)[Symbol.asyncIterator]();
  expect((await said.next()).value).toBe("ready");
  const before = { huge: memory(pid, "AnonHugePages"), taken: memory(pid, "Anonymous") };
  if ((await joinPages(pid)) === 0) skip("this host doesn't let us join pages");
  expect(memory(pid, "AnonHugePages") - before.huge).toBeGreaterThan(size - 8 * mebibyte);
  expect(memory(pid, "Anonymous") - before.taken).toBeLessThan(size / 2);
  child.stdin.write("end");
  expect((await said.next()).value).toBe("unchanged");
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
