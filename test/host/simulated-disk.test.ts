import { describe, expect, test } from "vitest";
import { rejection } from "../helpers/rejection.ts";
import { SimulatedCrash, SimulatedDisk } from "../helpers/simulated-disk.ts";

const data = Buffer.from("0123456789");
const seeds = Array.from({ length: 200 }, (_, seed) => seed);

/** Every outcome that some seed gives, as `path=content` lists. */
function outcomes(disk: SimulatedDisk): Set<string> {
  const all = seeds.map((seed) => {
    const contents = disk.afterCrash({ dropUnsynced: true, seed }).contents();
    return Array.from(contents, ([path, content]) => `${path}=${content.toString("latin1").replaceAll("\0", "0?")}`)
      .sort()
      .join(" ");
  });
  return new Set(all);
}

describe("losing power", () => {
  test("content and name of a file survive only when both were synced", async () => {
    const disk = new SimulatedDisk();
    await disk.createSynced("/a", [data]);
    expect(outcomes(disk)).toEqual(new Set(["", "/a=0123456789"]));
    await disk.syncFolder("/");
    expect(outcomes(disk)).toEqual(new Set(["/a=0123456789"]));
  });

  test("content not synced may be whole, cut off, zero-filled or empty", async () => {
    const disk = new SimulatedDisk();
    disk.crashAt(3);
    await rejection(disk.createSynced("/a", [data]));
    const found = outcomes(disk);
    for (const outcome of [
      "",
      "/a=",
      "/a=0123456789",
      `/a=${"0?".repeat(10)}`,
      "/a=0123",
      `/a=01234${"0?".repeat(5)}`,
    ]) {
      expect(found).toContain(outcome);
    }
  });

  test("a rename not synced may be undone, and nothing else", async () => {
    const disk = new SimulatedDisk();
    await disk.createSynced("/new", [Buffer.from("new")]);
    await disk.createSynced("/target", [Buffer.from("old")]);
    await disk.syncFolder("/");
    await disk.rename("/new", "/target");
    // Both names may be there, never neither.
    expect(outcomes(disk)).toEqual(new Set(["/new=new /target=old", "/new=new /target=new", "/target=new"]));
    await disk.syncFolder("/");
    expect(outcomes(disk)).toEqual(new Set(["/target=new"]));
  });

  test("syncing only the folder that a file left takes the new name along", async () => {
    const disk = new SimulatedDisk();
    await disk.mkdir("/tmp");
    await disk.mkdir("/home");
    await disk.syncFolder("/");
    await disk.createSynced("/tmp/a", [data]);
    await disk.syncFolder("/tmp");
    await disk.rename("/tmp/a", "/home/a");
    await disk.syncFolder("/tmp");
    expect(outcomes(disk)).toEqual(new Set(["/home/a=0123456789"]));
  });

  test("an unlink not synced may be undone", async () => {
    const disk = new SimulatedDisk();
    await disk.createSynced("/a", [data]);
    await disk.syncFolder("/");
    await disk.unlink("/a");
    expect(outcomes(disk)).toEqual(new Set(["", "/a=0123456789"]));
  });

  test("a folder that wasn't synced into its parent takes its files with it", async () => {
    const disk = new SimulatedDisk();
    await disk.mkdir("/sub");
    await disk.createSynced("/sub/a", [data]);
    await disk.syncFolder("/sub");
    expect(outcomes(disk)).toEqual(new Set(["", "/sub/a=0123456789"]));
  });

  test("when only processes die, everything written survives", async () => {
    const disk = new SimulatedDisk();
    await disk.createSynced("/a", [data]);
    await disk.unlink("/a");
    await disk.createSynced("/b", [data]);
    expect([...disk.afterCrash({ dropUnsynced: false }).contents().keys()]).toEqual(["/b"]);
  });

  test("the same seed gives the same outcome", async () => {
    const disk = new SimulatedDisk();
    for (const name of "abcdefgh") await disk.createSynced(`/${name}`, [data]);
    for (const seed of seeds.slice(0, 20)) {
      const [one, two] = [0, 1].map(() => disk.afterCrash({ dropUnsynced: true, seed }).contents());
      expect(one).toEqual(two);
    }
  });

  test("the disks before and after a crash are independent", async () => {
    const disk = new SimulatedDisk();
    await disk.createSynced("/a", [data]);
    const copy = disk.copy();
    await copy.unlink("/a");
    expect(disk.contents().has("/a")).toBe(true);
  });
});

describe("crashing", () => {
  const write = async (step: number): Promise<{ disk: SimulatedDisk; thrown: unknown }> => {
    const disk = new SimulatedDisk();
    disk.crashAt(step);
    const thrown = await disk.createSynced("/a", [data, data]).catch((error: unknown) => error);
    return { disk, thrown };
  };

  test.each([
    [1, undefined],
    [2, "01234"],
    [3, "012345678901234"],
    [4, "01234567890123456789"],
  ])("step %i of a write can be the last, and nothing works after it", async (step, left) => {
    const { disk, thrown } = await write(step);
    expect(disk.crashed).toBe(true);
    expect(thrown).toBeInstanceOf(SimulatedCrash);
    expect(await rejection(disk.list("/"))).toBeInstanceOf(SimulatedCrash);
    expect(await rejection(disk.mkdir("/x"))).toBeInstanceOf(SimulatedCrash);
    expect(disk.afterCrash({ dropUnsynced: false }).contents().get("/a")?.toString()).toBe(left);
  });

  test("a crash after the last step doesn't happen", async () => {
    const { disk, thrown } = await write(5);
    expect(disk.crashed).toBe(false);
    expect(thrown).toBeUndefined();
    expect(disk.steps).toBe(4);
  });
});

describe("faults", () => {
  test("a full disk takes what fits, and gets space back", async () => {
    const disk = new SimulatedDisk();
    disk.spaceLeft = 25;
    await disk.createSynced("/a", [data]);
    expect(await rejection(disk.createSynced("/b", [data, data]))).toMatchObject({ code: "ENOSPC" });
    expect(disk.contents().get("/b")).toHaveLength(15);
    await disk.unlink("/b");
    expect(await disk.freeSpace("/")).toBe(15);
    await disk.createSynced("/c", [data]);
    await disk.rename("/a", "/c");
    expect(await disk.freeSpace("/")).toBe(15);
  });

  test("any operation can be made to fail, and changes nothing", async () => {
    const disk = new SimulatedDisk();
    await disk.createSynced("/a", [data]);
    const asked: string[] = [];
    disk.fault = ({ kind, path, step }) => {
      asked.push(`${step} ${kind} ${path}`);
      return kind === "unlink" ? "EROFS" : undefined;
    };
    expect(await rejection(disk.unlink("/a"))).toMatchObject({ code: "EROFS" });
    await disk.read("/a");
    expect(asked).toEqual(["4 unlink /a", "undefined read /a"]);
  });
});
