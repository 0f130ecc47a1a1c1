import { execFile } from "node:child_process";
import * as fs from "node:fs/promises";
import { setImmediate } from "node:timers/promises";
import { promisify } from "node:util";
import { describe, expect, it, onTestFinished } from "vitest";
import { type MountedFile, MemoryMount, mayMount, unmount } from "../../../src/restore/boot/memory-mount.ts";
import { rejection } from "../../helpers/rejection.ts";
import { tempDir } from "../../helpers/temp-dir.ts";

const run = promisify(execFile);

const content = Buffer.alloc(3 * 1024 * 1024 + 4096);
for (let at = 0; at < content.length; at += 4) content.writeUInt32LE((at * 2654435761) >>> 0, at);

interface Mounted {
  readonly folder: string;
  readonly failures: string[];
  readonly mount: MemoryMount;
}

async function mounted(files: readonly MountedFile[]): Promise<Mounted> {
  const folder = await tempDir();
  const failures: string[] = [];
  const mount = await MemoryMount.mount({ folder, files, onFailure: (message) => failures.push(message) });
  onTestFinished(async () => await mount.unmount());
  return { folder, failures, mount };
}

const ram: MountedFile = {
  name: "0",
  size: content.length,
  read: (offset, length) =>
    Promise.resolve(offset < 1024 * 1024 ? undefined : content.subarray(offset, offset + length)),
};

const withZeros = Buffer.from(content);
withZeros.fill(0, 0, 1024 * 1024);

describe.runIf(mayMount())("a folder of files that come from elsewhere", () => {
  it("has them with their sizes, and what is read is what is given", async () => {
    const { folder } = await mounted([ram, { ...ram, name: "1", size: 4096 }]);
    expect((await run("cat", [`${folder}/0`], { encoding: "buffer", maxBuffer: 1e8 })).stdout.equals(withZeros)).toBe(
      true,
    );
    const { stdout } = await run("stat", ["-c", "%s %a %F", `${folder}/0`, `${folder}/1`, folder]);
    expect(stdout).toBe(`${content.length} 600 regular file\n4096 600 regular file\n0 700 directory\n`);
    const part = await run("dd", [`if=${folder}/0`, "bs=4096", "skip=700", "count=3", "status=none"], {
      encoding: "buffer",
    });
    expect(part.stdout.equals(content.subarray(700 * 4096, 703 * 4096))).toBe(true);
  });

  // Nothing here may touch the folder from this very process: it would wait for itself.
  it("takes no writes, whatever way they come", async () => {
    const { folder } = await mounted([ram]);
    for (const script of [
      "echo x >> 0",
      "truncate -s 1 0",
      "fallocate -p -o 0 -l 4096 0",
      "rm -f 0",
      "touch 2",
      "mkdir d",
      "ln -s x l",
    ])
      expect((await rejection(run("timeout", ["10", "sh", "-c", `cd ${folder} && ${script}`]))).message).toContain(
        "Command failed",
      );
    expect((await run("cat", [`${folder}/0`], { encoding: "buffer", maxBuffer: 1e8 })).stdout.equals(withZeros)).toBe(
      true,
    );
  });

  it("may be opened for writing, since QEMU does that with what it maps privately", async () => {
    const { folder } = await mounted([ram]);
    expect(await run("sh", ["-c", `exec 3<> ${folder}/0`])).toMatchObject({ stderr: "" });
  });

  it("says why something couldn't be read, and goes on", async () => {
    let fails = true;
    const failing: MountedFile = {
      ...ram,
      read: (...range) => (fails ? Promise.reject(new Error("the blob is lost")) : ram.read(...range)),
    };
    const { folder, failures } = await mounted([failing]);
    expect((await rejection(run("cat", [`${folder}/0`]))).message).toContain("Input/output error");
    expect(failures).toContain("the blob is lost");
    fails = false;
    expect((await run("cat", [`${folder}/0`], { encoding: "buffer", maxBuffer: 1e8 })).stdout.equals(withZeros)).toBe(
      true,
    );
  });

  it("is gone at once, even while somebody waits for something in it", async () => {
    const never: MountedFile = { ...ram, read: () => Promise.withResolvers<undefined>().promise };
    const { folder, mount } = await mounted([never]);
    const waiting = rejection(run("cat", [`${folder}/0`]));
    while (!(await fs.readFile("/proc/mounts", "utf8")).includes(folder)) await fs.stat("/");
    await mount.unmount();
    expect((await waiting).message).toContain("Command failed");
    expect(await fs.readFile("/proc/mounts", "utf8")).not.toContain(folder);
    expect(await fs.readdir(folder)).toEqual([]);
  });

  it("that is gone answers nobody: its descriptor's number may be another file's by then", async () => {
    const late = Promise.withResolvers<undefined>();
    const asked = Promise.withResolvers<undefined>();
    const read = async (): Promise<undefined> => {
      asked.resolve(undefined);
      return await late.promise;
    };
    const { folder, mount } = await mounted([{ ...ram, read }]);
    const waiting = rejection(run("cat", [`${folder}/0`]));
    await asked.promise;
    await mount.unmount();
    await waiting;
    const elsewhere = await tempDir();
    const names = Array.from({ length: 8 }, (_, number) => `${elsewhere}/${String(number)}`);
    const files = await Promise.all(names.map(async (name) => await fs.open(name, "w")));
    late.resolve(undefined);
    await setImmediate();
    const sizes = await Promise.all(files.map(async (file) => (await file.stat()).size));
    await Promise.all(files.map(async (file) => await file.close()));
    expect(sizes).toEqual(names.map(() => 0));
  });

  it("that can't be made is said", async () => {
    const failing = MemoryMount.mount({ folder: "/nonexistent", files: [], onFailure: () => undefined });
    expect((await rejection(failing)).message).toMatch(/Cannot mount at \/nonexistent: .*not exist/);
  });
});

it("unmounting where nothing is mounted does nothing", async () => {
  const folder = await tempDir();
  await unmount(folder);
  expect(await fs.readdir(folder)).toEqual([]);
});
