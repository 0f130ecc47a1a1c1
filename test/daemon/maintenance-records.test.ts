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

it("reads the parts in turn, and again what is damaged until it is whole, which keeps no part from its turn", async () => {
  const records = await (await made())();
  const parts: string[] = [];
  const check = async (which: "in turn" | "again", findings: number): Promise<void> => {
    const read = which === "again" ? records.damagedRead("vault", 4) : records.nextRead("vault", 4);
    parts.push(`${which}: ${String(read?.group)}, damaged: ${String(records.isDamaged("vault"))}`);
    await records.noteCheck("vault", 10 + parts.length, findings, read);
  };
  await check("in turn", 0);
  await check("in turn", 2);
  for (let week = 0; week < 3; week++) {
    await check("again", 2);
    // The damage of part 2, found by reading it; and something that any check sees.
    await check("in turn", week === 1 ? 1 : 0);
  }
  await check("again", 0);
  await check("in turn", 0);
  expect(parts).toEqual([
    "in turn: 1, damaged: false",
    "in turn: 2, damaged: false",
    "again: 2, damaged: true",
    "in turn: 3, damaged: true",
    "again: 2, damaged: true",
    "in turn: 4, damaged: true",
    "again: 2, damaged: true",
    "in turn: 1, damaged: true",
    "again: 2, damaged: true",
    "in turn: 3, damaged: false",
  ]);
});

it("keeps damage, and since when there is none, as long as something else is read", async () => {
  const records = await (await made())();
  await records.see(["vault"], 5);
  for (const group of [1, 2]) await records.noteCheck("vault", 10 * group, group === 2 ? 2 : 0, { group, of: 3 });
  await records.noteCheck("vault", 30, 0, { group: 3, of: 3 });
  expect(records.at("vault")).toMatchObject({ findings: 2, lastCheck: 10, checkEnded: 30 });
  expect(records.allRead("vault")).toBe(10);
  await records.noteCheck("vault", 40, 1, { group: 1, of: 3 });
  expect(records.at("vault")).toMatchObject({ findings: 1, lastCheck: 10 });
  expect(records.damagedRead("vault", 3)).toEqual({ group: 2, of: 3 });
  await records.noteCheck("vault", 50, 0, { group: 1, of: 1 });
  expect(records.at("vault")).toMatchObject({ findings: 0, lastCheck: 50 });
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
      await records.noteCheck("primary", now, 0, records.nextRead("primary", 3));
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

describe("a check by hand", () => {
  const whole = { group: 1, of: 1 };

  it("counts once, as one of the daemon's", async () => {
    const again = await made();
    const records = await again();
    await records.see(["far"], 10);
    expect(await records.noteByHand("far", { time: 20, findings: 0, read: whole })).toBe(true);
    expect([records.at("far").lastCheck, records.allRead("far")]).toEqual([20, 20]);
    expect(await (await again()).noteByHand("far", { time: 20, findings: 0, read: whole })).toBe(false);
    await records.noteCheck("far", 30, 0, undefined);
    expect(await records.noteByHand("far", { time: 25, findings: 9, read: whole })).toBe(false);
    expect(records.isDamaged("far")).toBe(false);
  });

  it("of a part of the bytes says nothing of the parts that are read in turn", async () => {
    const records = await (await made())();
    await records.see(["far"], 10);
    for (const group of [1, 2]) await records.noteCheck("far", 10 + group, 0, { group, of: 3 });
    await records.noteByHand("far", { time: 20, findings: 0, read: { group: 7, of: 10 } });
    expect([records.at("far").lastCheck, records.allRead("far")]).toEqual([20, 10]);
    expect(records.nextRead("far", 3)).toEqual({ group: 3, of: 3 });
  });

  it("that finds damage is repeated as it was, until that is mended", async () => {
    const records = await (await made())();
    const read = { group: 7, of: 10 };
    await records.noteByHand("far", { time: 20, findings: 2, read });
    expect(records.isDamaged("far")).toBe(true);
    for (const of of [3, undefined]) expect(records.damagedRead("far", of)).toEqual(read);
    await records.noteCheck("far", 30, 0, read);
    expect(records.isDamaged("far")).toBe(false);
    expect(records.nextRead("far", 3)).toEqual({ group: 1, of: 3 });
  });

  it.each([
    ["that reads nothing", undefined, true],
    ["that reads another part", { group: 2, of: 3 }, true],
    ["that reads the same", { group: 1, of: 3 }, false],
    ["that reads everything", whole, false],
  ])("%s is no evidence against damage that was read, unless it reads the same", async (_, read, damaged) => {
    const records = await (await made())();
    await records.noteCheck("far", 10, 2, { group: 1, of: 3 });
    expect(await records.noteByHand("far", { time: 20, findings: 0, read })).toBe(!damaged);
    expect(records.isDamaged("far")).toBe(damaged);
  });
});
