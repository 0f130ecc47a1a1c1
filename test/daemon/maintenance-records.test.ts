import { describe, expect, it } from "vitest";
import { MaintenanceRecords } from "../../src/daemon/maintenance-records.ts";
import { StateFolder } from "../../src/job/state-folder.ts";
import { tempDir } from "../helpers/temp-dir.ts";

async function made(): Promise<() => Promise<MaintenanceRecords>> {
  const folder = await tempDir();
  return async () => {
    const records = new MaintenanceRecords(new StateFolder(folder));
    await records.load(0);
    return records;
  };
}

it("reads the parts in turn, but a damaged one again until it is whole", async () => {
  const records = await (await made())();
  const parts: number[] = [];
  for (const findings of [0, 2, 1, 0, 0]) {
    const group = records.nextPart("primary", 3);
    parts.push(group);
    await records.noteCheck("primary", 10, findings, { group, of: 3 });
  }
  expect(parts).toEqual([1, 2, 2, 2, 3]);
});

describe("since when everything has been read", () => {
  it("is at first when the location became known, also for one that is new later", async () => {
    const again = await made();
    const records = await again();
    expect(records.allRead("primary")).toBeUndefined();
    await records.see(["primary"], 10);
    await records.see(["primary", "far"], 20);
    const restarted = await again();
    await restarted.see(["primary", "far"], 30);
    expect([restarted.allRead("primary"), restarted.allRead("far")]).toEqual([10, 20]);
  });

  it("is each check that reads everything, and none that reads nothing", async () => {
    const records = await (await made())();
    await records.see(["primary"], 10);
    await records.noteCheck("primary", 20, 0, undefined);
    expect(records.allRead("primary")).toBe(10);
    await records.noteCheck("primary", 30, 0, { group: 1, of: 1 });
    expect(records.allRead("primary")).toBe(30);
  });

  it("is when the part was read that was read longest ago", async () => {
    const records = await (await made())();
    await records.see(["primary"], 10);
    const seen: (number | undefined)[] = [];
    for (const now of [20, 30, 40, 50, 60]) {
      await records.noteCheck("primary", now, 0, { group: records.nextPart("primary", 3), of: 3 });
      seen.push(records.allRead("primary"));
    }
    expect(seen).toEqual([10, 10, 20, 30, 40]);
    // Other parts from now on: all was read since 40, and nothing is known to be younger than that but the first half.
    await records.noteCheck("primary", 70, 0, { group: 1, of: 2 });
    expect(records.allRead("primary")).toBe(40);
    await records.noteCheck("primary", 80, 0, { group: 2, of: 2 });
    expect(records.allRead("primary")).toBe(70);
  });
});
