import { randomBytes } from "node:crypto";
import { describe, expect, test } from "vitest";
import { errnoOf, type Files } from "../../src/host/files.ts";
import { nodeFiles } from "../../src/host/node-files.ts";
import { rejection } from "../helpers/rejection.ts";
import { SimulatedDisk } from "../helpers/simulated-disk.ts";
import { tempDir } from "../helpers/temp-dir.ts";

interface Place {
  readonly files: Files;
  readonly root: string;
}

const places: [string, () => Promise<Place>][] = [
  ["the real file system", async () => ({ files: nodeFiles, root: await tempDir() })],
  [
    "the simulated disk",
    async () => {
      const files = new SimulatedDisk();
      await files.mkdir("/root");
      return { files, root: "/root" };
    },
  ],
];

async function errno(work: Promise<unknown>): Promise<string | undefined> {
  return errnoOf(await rejection(work));
}

describe.each(places)("Files on %s", (_, make) => {
  test("what was written is read, whole or in part", async () => {
    const { files, root } = await make();
    const data = randomBytes(300_000);
    await files.createSynced(`${root}/a`, [data.subarray(0, 1), data.subarray(1, 1), data.subarray(1)]);
    expect((await files.read(`${root}/a`)).equals(data)).toBe(true);
    expect((await files.read(`${root}/a`, { offset: 7, length: 100_000 })).equals(data.subarray(7, 100_007))).toBe(
      true,
    );
    expect(await files.read(`${root}/a`, { offset: 299_990, length: 100 })).toHaveLength(10);
    expect(await files.read(`${root}/a`, { offset: 400_000, length: 100 })).toHaveLength(0);
    expect(await files.stat(`${root}/a`)).toMatchObject({ kind: "file", size: 300_000 });
  });

  test("a file is created only once", async () => {
    const { files, root } = await make();
    await files.createSynced(`${root}/a`, [Buffer.from("first")]);
    expect(await errno(files.createSynced(`${root}/a`, [Buffer.from("second")]))).toBe("EEXIST");
    expect((await files.read(`${root}/a`)).toString()).toBe("first");
  });

  test("writing stops when it is cancelled", async () => {
    const { files, root } = await make();
    const work = files.createSynced(`${root}/a`, [Buffer.alloc(1)], AbortSignal.abort());
    expect(await rejection(work)).toMatchObject({ code: "cancelled" });
    expect((await files.stat(`${root}/a`)).size).toBe(0);
  });

  test("a rename replaces", async () => {
    const { files, root } = await make();
    await files.mkdir(`${root}/sub`);
    await files.createSynced(`${root}/sub/a`, [Buffer.from("new")]);
    await files.createSynced(`${root}/b`, [Buffer.from("old")]);
    await files.rename(`${root}/sub/a`, `${root}/b`);
    await files.syncFolder(root);
    expect((await files.read(`${root}/b`)).toString()).toBe("new");
    expect(await files.list(`${root}/sub`)).toEqual([]);
  });

  test("a folder is listed with kinds", async () => {
    const { files, root } = await make();
    await files.mkdir(`${root}/folder`);
    await files.createSynced(`${root}/file`, []);
    const entries = await files.list(root);
    expect(entries.sort((a, b) => a.name.localeCompare(b.name))).toEqual([
      { name: "file", kind: "file" },
      { name: "folder", kind: "folder" },
    ]);
    expect(await files.stat(root)).toMatchObject({ kind: "folder" });
    expect(await files.freeSpace(root)).toBeGreaterThan(0);
  });

  test("errors have the errno's name", async () => {
    const { files, root } = await make();
    await files.mkdir(`${root}/folder`);
    await files.createSynced(`${root}/file`, []);
    const missing = `${root}/missing`;
    for (const work of [
      () => files.read(missing),
      () => files.stat(missing),
      () => files.list(missing),
      () => files.unlink(missing),
      () => files.syncFolder(missing),
      () => files.rename(missing, `${root}/x`),
      () => files.mkdir(`${missing}/x`),
      () => files.createSynced(`${missing}/x`, []),
    ]) {
      expect(await errno(work())).toBe("ENOENT");
    }
    expect(await errno(files.mkdir(`${root}/folder`))).toBe("EEXIST");
    expect(await errno(files.mkdir(`${root}/file`))).toBe("EEXIST");
    expect(await errno(files.list(`${root}/file`))).toBe("ENOTDIR");
    expect(await errno(files.stat(`${root}/file/x`))).toBe("ENOTDIR");
    expect(await errno(files.syncFolder(`${root}/file`))).toBe("ENOTDIR");
    expect(await errno(files.read(`${root}/folder`))).toBe("EISDIR");
    expect(await errno(files.unlink(`${root}/folder`))).toBe("EISDIR");
    expect(await errno(files.rename(`${root}/file`, `${root}/folder`))).toBe("EISDIR");
  });
});

test("nodeFiles makes private files and folders", async () => {
  const root = await tempDir();
  const { stat } = await import("node:fs/promises");
  await nodeFiles.createSynced(`${root}/file`, []);
  await nodeFiles.mkdir(`${root}/folder`);
  expect((await stat(`${root}/file`)).mode & 0o777).toBe(0o600);
  expect((await stat(`${root}/folder`)).mode & 0o777).toBe(0o700);
});
