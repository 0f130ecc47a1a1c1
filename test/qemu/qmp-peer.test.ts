import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs/promises";
import * as path from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { describeProcess, findQemu, isAlive } from "../../src/qemu/qmp-peer.ts";
import { rejection } from "../helpers/rejection.ts";
import { tempDir } from "../helpers/temp-dir.ts";

/** A process that listens at `place`, which is where it says so; and whose command line is known. */
async function listener(place: string, folder: string): Promise<ChildProcess> {
  const script = `require("net").createServer().listen({ path: process.argv[1] }, () => console.log("listening"))`;
  const child = spawn(process.execPath, ["-e", script, place, "an argument", ""], { cwd: folder });
  onTestFinished(() => void child.kill("SIGKILL"));
  await once(child.stdout, "data");
  return child;
}

test("the process that listens is found, with what /proc says of it, and its socket stays free", async () => {
  const folder = await tempDir();
  const child = await listener(`${folder}/with a space`, folder);
  const found = await findQemu(`${folder}/with a space`);
  expect(found).toMatchObject({
    pid: child.pid,
    folder,
    uid: process.getuid?.(),
    gid: process.getgid?.(),
    seccomp: false,
    startTime: expect.stringMatching(/^[0-9]+$/),
  });
  expect(found.command[0]).toBe(process.execPath);
  expect(found.command.slice(-3)).toEqual([`${folder}/with a space`, "an argument", ""]);
});

test("a path that began in the process's own folder, and a link to the socket, lead to it as well", async () => {
  const folder = await tempDir();
  const child = await listener("relative", folder);
  await fs.symlink("relative", path.join(folder, "link"));
  expect((await findQemu(`${folder}/relative`)).pid).toBe(child.pid);
  expect((await findQemu(`${folder}/link`)).pid).toBe(child.pid);
});

test("a socket that was bound anew at the same path is nobody's for certain", async () => {
  const folder = await tempDir();
  const first = await listener(`${folder}/qmp`, folder);
  await fs.unlink(`${folder}/qmp`);
  const second = await listener(`${folder}/qmp`, folder);
  const error = await rejection(findQemu(`${folder}/qmp`));
  expect(error).toMatchObject({ code: "vm_unreachable" });
  expect(error.message).toContain(`${String(first.pid)} and ${String(second.pid)}`);
});

test("nobody listens, or nothing is there: that is said", async () => {
  const folder = await tempDir();
  expect((await rejection(findQemu(`${folder}/none`))).message).toContain("no such file");
  const child = await listener(`${folder}/qmp`, folder);
  child.kill("SIGKILL");
  await once(child, "exit");
  expect(await rejection(findQemu(`${folder}/qmp`))).toMatchObject({
    code: "vm_unreachable",
    message: expect.stringContaining("listens there"),
  });
});

test("a process is alive until it ends, and another with its number is not the same", async () => {
  const folder = await tempDir();
  const child = await listener(`${folder}/qmp`, folder);
  const found = await findQemu(`${folder}/qmp`);
  expect(await isAlive(found)).toBe(true);
  expect(await isAlive({ ...found, startTime: "1" })).toBe(false);
  child.kill("SIGKILL");
  await once(child, "exit");
  expect(await isAlive(found)).toBe(false);
  expect(await describeProcess(found.pid)).toBeUndefined();
});
