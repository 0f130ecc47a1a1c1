import { describe, expect, test } from "vitest";
import { FsStorage } from "../../../src/storage/drivers/fs.ts";
import { collect } from "../../helpers/collect.ts";
import { ManualClock } from "../../helpers/manual-clock.ts";
import { memoryStorage } from "../../helpers/memory-storage.ts";
import { rejection } from "../../helpers/rejection.ts";
import { SimulatedDisk, type Operation } from "../../helpers/simulated-disk.ts";

const clock = new ManualClock();
const root = "/store";
const data = [Buffer.from("first "), Buffer.from("second")];
const text = "first second";

/** Opens the storage that `prepared` made, on what a crash left of its disk, say. */
function open(disk: SimulatedDisk): FsStorage {
  return new FsStorage({ location: "primary", root, files: disk, clock });
}

async function prepared(): Promise<{ disk: SimulatedDisk; storage: FsStorage }> {
  const disk = new SimulatedDisk({ now: () => clock.now() });
  return { disk, storage: await memoryStorage({ disk, clock }) };
}

describe("durability", () => {
  test("what put has acknowledged survives the loss of power, whatever happens to the next one", async () => {
    const { disk: before } = await prepared();
    for (let step = 1; ; step++) {
      const disk = before.copy();
      const storage = open(disk);
      await storage.put("packs/ab/one", data);
      disk.crashAt(disk.steps + step);
      await storage.put("packs/cd/two", data).catch((error: unknown) => {
        if (!disk.crashed) throw error;
      });
      for (let seed = 0; seed < 40; seed++) {
        const after = open(disk.afterCrash({ dropUnsynced: seed > 0, seed }));
        expect((await after.get("packs/ab/one")).toString()).toBe(text);
        const found = await collect(after.list(""));
        expect(found.every(({ size }) => size === text.length)).toBe(true);
        expect(found.length).toBeGreaterThanOrEqual(disk.crashed ? 1 : 2);
        // The next start works, over whatever the last one left.
        await after.put("packs/cd/two", data);
        expect((await after.get("packs/cd/two")).toString()).toBe(text);
      }
      if (!disk.crashed) break;
    }
  });

  test("a put into a folder that another process has just made is as durable as any", async () => {
    const { disk, storage } = await prepared();
    await disk.mkdir(`${root}/packs`);
    await disk.mkdir(`${root}/packs/ab`);
    await storage.put("packs/ab/one", data);
    for (let seed = 0; seed < 40; seed++) {
      const after = open(disk.afterCrash({ dropUnsynced: true, seed }));
      expect((await after.get("packs/ab/one")).toString()).toBe(text);
    }
  });

  test("what delete has acknowledged doesn't come back", async () => {
    const { disk, storage } = await prepared();
    await storage.put("points/etc/one", data);
    await storage.delete("points/etc/one");
    for (let seed = 0; seed < 40; seed++) {
      const after = open(disk.afterCrash({ dropUnsynced: true, seed }));
      expect(await collect(after.list(""))).toEqual([]);
    }
  });

  test("a delete that is repeated after a failure is durable when it succeeds", async () => {
    const { disk, storage } = await prepared();
    await storage.put("points/etc/one", data);
    disk.fault = ({ kind }) => (kind === "syncFolder" ? "EIO" : undefined);
    expect(await rejection(storage.delete("points/etc/one"))).toMatchObject({ code: "storage_failed" });
    disk.fault = () => undefined;
    await storage.delete("points/etc/one");
    for (let seed = 0; seed < 40; seed++) {
      const after = open(disk.afterCrash({ dropUnsynced: true, seed }));
      expect(await collect(after.list(""))).toEqual([]);
    }
  });

  test("a put into a folder known to be durable takes no more steps than it must", async () => {
    const { disk, storage } = await prepared();
    await storage.put("packs/ab/one", data);
    await rejection(storage.get("packs/ab/missing"));
    const before = disk.steps;
    await storage.put("packs/ab/two", data);
    // Create, two writes, fsync, rename, fsync of the folder.
    expect(disk.steps - before).toBe(6);
  });

  test("a new storage survives from the moment that it was made", async () => {
    const { disk } = await prepared();
    for (let seed = 0; seed < 40; seed++) {
      const after = disk.afterCrash({ dropUnsynced: true, seed });
      await open(after).put("format", data);
      expect(after.contents().size).toBe(1);
    }
  });

  test("the first put removes what a killed process left a day ago", async () => {
    const { disk, storage } = await prepared();
    disk.fault = ({ kind }) => (kind === "rename" || kind === "unlink" ? "EIO" : undefined);
    await rejection(storage.put("killed", data));
    const after = disk.afterCrash({ dropUnsynced: false });
    expect(after.contents().size).toBe(1);
    await clock.advance(24 * 60 * 60 * 1000);
    await open(after).put("format", data);
    expect([...after.contents().keys()]).toEqual([`${root}/format`]);
  });

  const kinds: Operation["kind"][] = ["create", "write", "sync", "rename", "syncFolder", "mkdir"];
  test.each(kinds)("after a put that failed to %s, the same put succeeds", async (kind) => {
    const { disk, storage } = await prepared();
    disk.fault = (operation) => (operation.kind === kind ? "EIO" : undefined);
    expect(await rejection(storage.put("packs/ab/one", data))).toMatchObject({
      code: "storage_failed",
      retryable: true,
    });
    disk.fault = () => undefined;
    await storage.put("packs/ab/one", data);
    for (let seed = 0; seed < 20; seed++) {
      const after = open(disk.afterCrash({ dropUnsynced: true, seed }));
      expect((await after.get("packs/ab/one")).toString()).toBe(text);
    }
  });
});
