import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs/promises";
import * as path from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { syscallsAvailable } from "../../src/host/syscalls.ts";
import { describeProcess, findQemu, isAlive } from "../../src/qemu/qmp-peer.ts";
import { rejection } from "../helpers/rejection.ts";
import { tempDir } from "../helpers/temp-dir.ts";

/** A process that listens at `place`, as seen from `folder`, and then goes to the folder `later`. */
async function listener(place: string, folder: string, later = folder): Promise<ChildProcess> {
  const script = `require("net").createServer().listen({ path: process.argv[1] }, () => {
    process.chdir(process.argv[2]);
    console.log("listening");
  })`;
  const child = spawn(process.execPath, ["-e", script, place, later, ""], { cwd: folder });
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
  expect(found.command.slice(-3)).toEqual([`${folder}/with a space`, folder, ""]);
});

test("a path that began in the process's own folder, and a link to the socket, lead to it as well", async () => {
  const folder = await tempDir();
  const child = await listener("relative", folder);
  await fs.symlink("relative", path.join(folder, "link"));
  expect((await findQemu(`${folder}/relative`)).pid).toBe(child.pid);
  expect((await findQemu(`${folder}/link`)).pid).toBe(child.pid);
});

describe.runIf(syscallsAvailable())("where a path says too little", () => {
  test("of two that bound the same path one after the other, it is the second", async () => {
    const folder = await tempDir();
    await listener(`${folder}/qmp`, folder);
    await fs.unlink(`${folder}/qmp`);
    const second = await listener(`${folder}/qmp`, folder);
    expect((await findQemu(`${folder}/qmp`)).pid).toBe(second.pid);
  });

  test("a daemon that has left the folder where its path began is told from another of the same name", async () => {
    const [here, there] = [await tempDir(), await tempDir()];
    const [one, other] = [await listener("qmp", here, "/"), await listener("qmp", there, "/")];
    expect(await findQemu(`${here}/qmp`)).toMatchObject({ pid: one.pid, folder: here });
    expect(await findQemu(`${there}/qmp`)).toMatchObject({ pid: other.pid, folder: there });
  });
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
