import * as fsp from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { isStillpointError, type ErrorCode } from "../../../src/errors.ts";
import type { Files } from "../../../src/host/files.ts";
import { nodeFiles } from "../../../src/host/node-files.ts";
import { createFsStorage, FsStorage } from "../../../src/storage/drivers/fs.ts";
import { collect } from "../../helpers/collect.ts";
import { ManualClock } from "../../helpers/manual-clock.ts";
import { rejection } from "../../helpers/rejection.ts";
import { SimulatedDisk } from "../../helpers/simulated-disk.ts";
import { tempDir } from "../../helpers/temp-dir.ts";

const root = "/mnt/usb/store";
const clock = new ManualClock();
const optionsFor = (files: Files) => ({ location: "usb", root, files, clock });
const data = [Buffer.from("first "), Buffer.from("second")];
const text = "first second";

async function prepared(): Promise<{ disk: SimulatedDisk; storage: FsStorage }> {
  const disk = new SimulatedDisk({ now: () => clock.now() });
  await createFsStorage(optionsFor(disk));
  return { disk, storage: new FsStorage(optionsFor(disk)) };
}

/** Every kind of call. */
function callsOn(storage: FsStorage): Record<string, () => Promise<unknown>> {
  return {
    put: () => storage.put("packs/ab/new", data),
    putInNewFolder: () => storage.put("packs/cd/new", data),
    get: () => storage.get("packs/ab/one"),
    stat: () => storage.stat("packs/ab/one"),
    delete: () => storage.delete("packs/ab/one"),
    list: () => collect(storage.list("packs/")),
    listOfAbsentFolder: () => collect(storage.list("points/etc/")),
  };
}

describe("a storage that has vanished", () => {
  const mounts: [string, () => Promise<SimulatedDisk>][] = [
    ["its folder is gone", async () => new SimulatedDisk()],
    [
      "only the empty mount point is left",
      async () => {
        const disk = new SimulatedDisk();
        for (const folder of ["/mnt", "/mnt/usb", root]) await disk.mkdir(folder);
        return disk;
      },
    ],
  ];

  test.each(mounts)("%s: every call fails, and nothing is made in its place", async (_, unmount) => {
    for (const name of Object.keys(callsOn((await prepared()).storage))) {
      const { storage, swap } = await mounted();
      await storage.put("packs/ab/one", data);
      const bare = await unmount();
      swap(bare);
      const error = await rejection(callsOn(storage)[name]?.() ?? Promise.resolve());
      expect([name, error]).toEqual([name, expect.objectContaining({ code: "storage_unreachable", retryable: true })]);
      expect(bare.contents().size).toBe(0);
      expect(await bare.list(root).catch(() => [])).toEqual([]);
    }
  });

  test("it works again when it is back", async () => {
    const { storage, swap, disk } = await mounted();
    await storage.put("packs/ab/one", data);
    swap(new SimulatedDisk());
    await rejection(storage.put("packs/ab/two", data));
    swap(disk);
    await storage.put("packs/ab/two", data);
    expect(await collect(storage.list(""))).toHaveLength(2);
  });

  test("a disk that is pulled amid a listing makes it fail, not end", async () => {
    const { storage, swap } = await mounted();
    for (const name of ["a/1", "b/1", "c/1"]) await storage.put(name, data);
    const listing = storage.list("")[Symbol.asyncIterator]();
    await listing.next();
    swap(new SimulatedDisk());
    const rest = async (): Promise<void> => {
      while (!(await listing.next()).done);
    };
    expect(isStillpointError(await rejection(rest()))).toBe(true);
  });

  test("a disk that is pulled before the last file was looked at makes the listing fail, not end", async () => {
    const { storage, disk, swap } = await mounted();
    await storage.put("a/1", data);
    disk.fault = ({ kind, path }) => {
      if (kind === "stat" && path.endsWith("/a/1")) swap(new SimulatedDisk());
      return kind === "stat" ? "ENOENT" : undefined;
    };
    expect(await rejection(collect(storage.list("a/")))).toMatchObject({ code: "storage_unreachable" });
  });

  test("a copy that lost its empty folders can be read, and says what it needs to be written to", async () => {
    const { disk, storage } = await prepared();
    await storage.put("format", data);
    const copy = new SimulatedDisk();
    for (const folder of ["/mnt", "/mnt/usb", root]) await copy.mkdir(folder);
    for (const [path, content] of disk.contents()) await copy.createSynced(path, [content]);
    const opened = new FsStorage(optionsFor(copy));
    expect((await opened.get("format")).toString()).toBe(text);
    expect(await collect(opened.list(""))).toHaveLength(1);
    const error = await rejection(opened.put("format", data));
    expect(error).toMatchObject({ code: "storage_unreachable" });
    expect(error.message).toContain("make /mnt/usb/store/tmp");
  });

  test("nobody is told to make something in a folder that isn't there, or is a mount point", async () => {
    for (const folders of [["/mnt"], ["/mnt", "/mnt/usb", root]]) {
      const disk = new SimulatedDisk();
      for (const folder of folders) await disk.mkdir(folder);
      const error = await rejection(new FsStorage(optionsFor(disk)).put("format", data));
      expect(error).toMatchObject({ code: "storage_unreachable" });
      expect(error.message).not.toContain("make /mnt");
    }
  });

  /** A storage on a disk that can be swapped for another, as mounting and unmounting do. */
  async function mounted() {
    const { disk } = await prepared();
    let current = disk;
    const files: Files = {
      createSynced: (path, pieces) => current.createSynced(path, pieces),
      rename: (from, to) => current.rename(from, to),
      syncFolder: (path) => current.syncFolder(path),
      mkdir: (path) => current.mkdir(path),
      unlink: (path) => current.unlink(path),
      list: (path) => current.list(path),
      stat: (path) => current.stat(path),
      read: (path, range) => current.read(path, range),
      freeSpace: (path) => current.freeSpace(path),
    };
    const swap = (other: SimulatedDisk): void => {
      current = other;
    };
    return { disk, storage: new FsStorage(optionsFor(files)), swap };
  }
});

describe("listing", () => {
  test("skips what can't be an object, and refuses what it can't understand", async () => {
    const folder = await tempDir();
    const options = { location: "primary", root: folder, files: nodeFiles, clock };
    await createFsStorage(options);
    const storage = new FsStorage(options);
    await storage.put("packs/one", data);
    await fsp.mkdir(`${folder}/lost+found`, { mode: 0 });
    await fsp.writeFile(`${folder}/packs/a b`, "");
    await fsp.writeFile(`${folder}/tmp/unfinished`, "");
    expect(await collect(storage.list(""))).toHaveLength(1);
    // A folder behind a link might be on a disk that isn't mounted: to skip it would be to end early in silence.
    await fsp.symlink("/elsewhere", `${folder}/packs/linked`);
    expect(await rejection(collect(storage.list("")))).toMatchObject({ code: "storage_failed" });
    expect(await collect(storage.list("packs/o"))).toHaveLength(1);
  });

  test("fails when a folder vanishes under it", async () => {
    const { disk, storage } = await prepared();
    for (const name of ["packs/a/1", "packs/b/1"]) await storage.put(name, data);
    disk.fault = ({ kind, path }) => (kind === "list" && path.includes("/packs/a") ? "ENOENT" : undefined);
    expect(await rejection(collect(storage.list("")))).toMatchObject({ code: "storage_failed" });
  });

  test("leaves out an object that is deleted meanwhile", async () => {
    const { disk, storage } = await prepared();
    for (const name of ["packs/a", "packs/b"]) await storage.put(name, data);
    disk.fault = ({ kind, path }) => (kind === "stat" && path.endsWith("/a") ? "ENOENT" : undefined);
    expect((await collect(storage.list(""))).map(({ name }) => name)).toEqual(["packs/b"]);
  });
});

test("a call on a file system that hangs ends when it is cancelled", async () => {
  const { disk } = await prepared();
  const hanging = Promise.withResolvers<never>().promise;
  const files: Files = Object.assign(Object.create(disk) as SimulatedDisk, {
    read: () => hanging,
    list: () => hanging,
  });
  const storage = new FsStorage(optionsFor(files));
  for (const call of [
    (signal: AbortSignal) => storage.get("format", undefined, { signal }),
    (signal: AbortSignal) => collect(storage.list("", { signal })),
  ]) {
    const controller = new AbortController();
    const outcome = rejection(call(controller.signal));
    controller.abort();
    expect(await outcome).toMatchObject({ code: "cancelled" });
  }
});

describe("errors", () => {
  const meanings: [string, ErrorCode][] = [
    ["ENOSPC", "storage_full"],
    ["EDQUOT", "storage_full"],
    ["EACCES", "storage_denied"],
    ["EPERM", "storage_denied"],
    ["EROFS", "storage_denied"],
    ["ESTALE", "storage_unreachable"],
    ["ENODEV", "storage_unreachable"],
    ["EIO", "storage_failed"],
    ["EMFILE", "storage_failed"],
  ];
  test.each(meanings)("%s is %s, from every call", async (errno, code) => {
    const { disk, storage } = await prepared();
    await storage.put("packs/ab/one", data);
    disk.fault = () => errno;
    for (const call of Object.values(callsOn(storage))) expect(await rejection(call())).toMatchObject({ code });
  });

  test("a full disk leaves what was there, and no rubbish", async () => {
    const { disk, storage } = await prepared();
    await storage.put("packs/ab/one", data);
    disk.spaceLeft = 5;
    const error = await rejection(storage.put("packs/ab/one", [Buffer.from("longer than five bytes")]));
    expect(error).toMatchObject({ code: "storage_full" });
    expect(error.message).toContain(
      "Cannot store /mnt/usb/store/packs/ab/one in usb: the file system has no space left (ENOSPC). What was stored before is untouched.",
    );
    expect([...disk.contents().keys()]).toEqual([`${root}/packs/ab/one`]);
    expect((await storage.get("packs/ab/one")).toString()).toBe(text);
  });

  test("a folder that someone else removed is made anew by the next try", async () => {
    const options = { location: "primary", root: await tempDir(), files: nodeFiles, clock };
    await createFsStorage(options);
    const storage = new FsStorage(options);
    await storage.put("packs/ab/one", data);
    await fsp.rm(`${options.root}/packs`, { recursive: true });
    expect(await rejection(storage.put("packs/ab/one", data))).toMatchObject({
      code: "storage_failed",
      retryable: true,
    });
    await storage.put("packs/ab/one", data);
    expect((await storage.get("packs/ab/one")).toString()).toBe(text);
  });

  test("an object that ends before the range does will not get longer by trying again", async () => {
    const { storage } = await prepared();
    await storage.put("format", data);
    expect(await rejection(storage.get("format", { offset: 0, length: 1000 }))).toMatchObject({ retryable: false });
  });

  test("a simulated loss of power is nobody's storage error", async () => {
    const { disk, storage } = await prepared();
    disk.crashAt(disk.steps + 1);
    expect(isStillpointError(await rejection(storage.put("format", data)))).toBe(false);
  });

  test("a storage that can't be made is an error", async () => {
    const disk = new SimulatedDisk();
    disk.fault = ({ kind }) => (kind === "mkdir" ? "EROFS" : undefined);
    expect(await rejection(createFsStorage(optionsFor(disk)))).toMatchObject({ code: "storage_denied" });
  });
});
