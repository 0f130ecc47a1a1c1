import { describe, expect, test } from "vitest";
import { makeFoldersDurably } from "../../src/host/make-folders.ts";
import { nodeFiles } from "../../src/host/node-files.ts";
import { removeLeftovers, writeDurably } from "../../src/host/write-durably.ts";
import { rejection } from "../helpers/rejection.ts";
import { SimulatedDisk, type Operation } from "../helpers/simulated-disk.ts";
import { tempDir } from "../helpers/temp-dir.ts";

const oldContent = Buffer.from("the old content");
const newPieces = [Buffer.from("the new "), Buffer.from("content")];
const day = 24 * 60 * 60 * 1000;

async function preparedDisk(now?: () => number): Promise<SimulatedDisk> {
  const disk = new SimulatedDisk(now ? { now } : {});
  await disk.mkdir("/tmp");
  await disk.mkdir("/home");
  await disk.createSynced("/home/a", [oldContent]);
  return disk.copy();
}

describe("writeDurably", () => {
  test("replaces the content", async () => {
    const folder = await tempDir();
    await nodeFiles.createSynced(`${folder}/a`, [oldContent]);
    await writeDurably(nodeFiles, `${folder}/a`, newPieces);
    expect((await nodeFiles.read(`${folder}/a`)).toString()).toBe("the new content");
    expect(await nodeFiles.list(folder)).toHaveLength(1);
  });

  test.each([{}, { tempFolder: "/tmp" }])(
    "wherever the power goes, the old or the new content is there: %j",
    async (options) => {
      const prepared = await preparedDisk();
      const seen = new Set<string>();
      for (let step = 1; ; step++) {
        const disk = prepared.copy();
        disk.crashAt(step);
        await writeDurably(disk, "/home/a", newPieces, options).catch((error: unknown) => {
          if (!disk.crashed) throw error;
        });
        for (let seed = 0; seed < 50; seed++) {
          const left =
            disk
              .afterCrash({ dropUnsynced: seed > 0, seed })
              .contents()
              .get("/home/a")
              ?.toString() ?? "missing";
          expect(["the old content", "the new content"]).toContain(left);
          seen.add(left);
          expect(disk.crashed || left === "the new content").toBe(true);
        }
        if (!disk.crashed) break;
      }
      expect(seen.size).toBe(2);
    },
  );

  const kinds: Operation["kind"][] = ["create", "write", "sync", "rename"];
  test.each(kinds)("a failure to %s leaves the target as it was, and no temporary file", async (kind) => {
    const disk = await preparedDisk();
    disk.fault = (operation) => (operation.kind === kind ? "EIO" : undefined);
    expect(await rejection(writeDurably(disk, "/home/a", newPieces))).toMatchObject({ code: "EIO" });
    expect([...disk.contents()]).toEqual([["/home/a", oldContent]]);
  });

  test("so does a disk that fills up", async () => {
    const disk = await preparedDisk();
    disk.spaceLeft = 10;
    expect(await rejection(writeDurably(disk, "/home/a", newPieces))).toMatchObject({ code: "ENOSPC" });
    expect([...disk.contents()]).toEqual([["/home/a", oldContent]]);
    expect(disk.spaceLeft).toBe(10);
  });

  test("so does cancelling, on the real file system", async () => {
    const folder = await tempDir();
    await nodeFiles.createSynced(`${folder}/a`, [oldContent]);
    const work = writeDurably(nodeFiles, `${folder}/a`, newPieces, { signal: AbortSignal.abort() });
    expect(await rejection(work)).toMatchObject({ code: "cancelled" });
    expect(await nodeFiles.list(folder)).toEqual([{ name: "a", kind: "file" }]);
  });

  test("the first error is reported, also when the temporary file can't be removed", async () => {
    const disk = await preparedDisk();
    disk.fault = ({ kind }) => ({ rename: "EDQUOT", unlink: "EIO" })[kind as string];
    expect(await rejection(writeDurably(disk, "/home/a", newPieces))).toMatchObject({ code: "EDQUOT" });
  });

  test("a failure to make the name durable is reported", async () => {
    const disk = await preparedDisk();
    disk.fault = ({ kind }) => (kind === "syncFolder" ? "EIO" : undefined);
    expect(await rejection(writeDurably(disk, "/home/a", newPieces))).toMatchObject({ code: "EIO" });
  });
});

describe("removeLeftovers", () => {
  test("removes what killed writers left a day ago, and nothing else", async () => {
    let now = 0;
    const disk = await preparedDisk(() => now);
    await disk.createSynced("/home/.stillpoint-notes.tmp", []);
    await disk.createSynced("/home/other.tmp", []);
    const leaveBehind = async (): Promise<void> => {
      disk.fault = ({ kind }) => (kind === "rename" || kind === "unlink" ? "EIO" : undefined);
      await rejection(writeDurably(disk, "/home/a", newPieces));
      disk.fault = () => undefined;
    };
    await leaveBehind();
    now = day / 2;
    await leaveBehind();
    expect(disk.contents().size).toBe(5);
    expect(await removeLeftovers(disk, "/home", day)).toBe(1);
    expect(disk.contents().size).toBe(4);
    expect(await removeLeftovers(disk, "/home", 2 * day)).toBe(1);
    expect([...disk.contents().keys()].sort()).toEqual(["/home/.stillpoint-notes.tmp", "/home/a", "/home/other.tmp"]);
  });

  test("a leftover that can't be removed is left", async () => {
    const disk = await preparedDisk(() => 0);
    disk.fault = ({ kind }) => (kind === "rename" || kind === "unlink" ? "EACCES" : undefined);
    await rejection(writeDurably(disk, "/home/a", newPieces));
    expect(await removeLeftovers(disk, "/home", 2 * day)).toBe(0);
  });

  test("a folder that can't be read is an error", async () => {
    expect(await rejection(removeLeftovers(new SimulatedDisk(), "/none", 0))).toMatchObject({ code: "ENOENT" });
  });
});

describe("makeFoldersDurably", () => {
  test("the folders survive the loss of power, also those that another process has just made", async () => {
    const disk = new SimulatedDisk();
    await disk.mkdir("/a");
    await disk.mkdir("/a/b");
    await makeFoldersDurably(disk, "/a/b/c");
    for (let seed = 0; seed < 30; seed++) {
      const left = disk.afterCrash({ dropUnsynced: true, seed });
      expect(await left.stat("/a/b/c")).toMatchObject({ kind: "folder" });
    }
  });

  test("makes nothing at or above the top", async () => {
    const disk = new SimulatedDisk();
    expect(await rejection(makeFoldersDurably(disk, "/a/b/c", "/a"))).toMatchObject({ code: "ENOENT" });
    expect(await disk.list("/")).toEqual([]);
  });

  test("a file in the way is an error", async () => {
    const disk = new SimulatedDisk();
    await disk.createSynced("/a", []);
    expect(await rejection(makeFoldersDurably(disk, "/a/b"))).toMatchObject({ code: "EEXIST" });
  });

  test("a parent that may not be opened is passed through, one that was just made is not", async () => {
    const disk = new SimulatedDisk();
    await disk.mkdir("/a");
    disk.fault = ({ kind, path }) => (kind === "syncFolder" && path === "/" ? "EACCES" : undefined);
    await makeFoldersDurably(disk, "/a/b");
    expect(await disk.list("/a")).toEqual([{ name: "b", kind: "folder" }]);
    expect(await rejection(makeFoldersDurably(disk, "/c"))).toMatchObject({ code: "EACCES" });
  });
});
