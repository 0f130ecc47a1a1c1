import { spawn } from "node:child_process";
import { once } from "node:events";
import * as path from "node:path";
import { expect, test } from "vitest";
import { makeNode } from "../../src/host/syscalls.ts";
import { tempDir } from "../helpers/temp-dir.ts";

const endProcess = path.join(import.meta.dirname, "../../src/host/end-process.ts");

/** A FIFO that nobody writes to is opened for as long as a file of a dead mount is. */
test.each([
  ["one of its threads waits in a system call for ever", "fs.open(fifo, 'r', () => undefined);"],
  ["nothing waits", ""],
])("a process ends while %s, with its listeners and its status", async (_, work) => {
  const fifo = path.join(await tempDir(), "fifo");
  makeNode(Buffer.from(fifo), 0o010600, 0n);
  const script = `
    import * as fs from "node:fs";
    import { endProcess } from ${JSON.stringify(endProcess)};
    const fifo = ${JSON.stringify(fifo)};
    process.on("exit", (status) => console.log("listener " + status));
    ${work}
    setImmediate(() => endProcess(3));`;
  const args = ["--disable-warning=ExperimentalWarning", "--input-type=module", "--eval", script];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  let said = "";
  child.stdout.on("data", (chunk: Buffer) => (said += chunk.toString()));
  expect(await once(child, "close")).toEqual([3, null]);
  expect(said).toBe("listener 3\n");
});
