import { describe, expect, it } from "vitest";
import { MaintenanceRecords } from "../../src/daemon/maintenance-records.ts";
import { StateFolder } from "../../src/job/state-folder.ts";
import type { ReadData } from "../../src/repository/check/packs.ts";
import { tempDir } from "../helpers/temp-dir.ts";

async function made(): Promise<() => Promise<MaintenanceRecords>> {
  const folder = await tempDir();
  return async () => {
    const records = new MaintenanceRecords(new StateFolder(folder));
    await records.load(0);
    return records;
  };
}

/** A check whose damage only reading shows, but for `seen` of it, which any check sees. */
function ended(time: number, findings: number, read: ReadData | undefined, seen = read === undefined ? findings : 0) {
  return { time, findings, foundByReading: findings - seen, read };
}

/** Checks of a location of four parts, by its records alone. `damage`: how much is in which part; `seen`: how much any check sees. */
async function checks() {
  const records = await (await made())();
  const damage = new Map<number, number>();
  const state = { seen: 0, time: 10 };
  const reads: string[] = [];
  const check = async (read: ReadData | undefined): Promise<void> => {
    reads.push(read === undefined ? "none" : String(read.group));
    const inPart = read?.of === 4 ? (damage.get(read.group) ?? 0) : 0;
    await records.noteCheck("vault", ended(++state.time, state.seen + inPart, read, state.seen));
  };
  return {
    records,
    damage,
    state,
    inTurn: async () => await check(records.nextRead("vault", 4)),
    again: async () => {
      for (const read of records.damagedReads("vault")) await check(read);
    },
    /** What was read since the last call, and how much damage is known now. */
    told: () => `${reads.splice(0).join(" ")}: ${String(records.at("vault").findings)}`,
  };
}

it("reads the parts in turn, and again what is damaged until it is whole, which keeps no part from its turn", async () => {
  const { records, damage, state, inTurn, again, told } = await checks();
  damage.set(2, 2);
  await inTurn();
  await inTurn();
  expect(told()).toBe("1 2: 2");
  // In the second week there is something that any check sees, too: no other part is to be read again for that.
  for (const [next, seen] of [
    [3, 0],
    [4, 1],
    [1, 0],
  ] as const) {
    state.seen = seen;
    await again();
    await inTurn();
    expect(told()).toBe(`2 ${String(next)}: ${String(2 + seen)}`);
  }
  damage.clear();
  await again();
  expect(told()).toBe("2: 0");
  expect(records.isDamaged("vault")).toBe(false);
  await inTurn();
  expect(told()).toBe("3: 0");
});

it("knows of damage in several parts until each was read again and is whole", async () => {
  const { records, damage, inTurn, again, told } = await checks();
  damage.set(2, 1).set(3, 4);
  for (let part = 1; part <= 3; part++) await inTurn();
  expect(told()).toBe("1 2 3: 5");
  damage.delete(2);
  await again();
  expect(told()).toBe("2 3: 4");
  expect(records.at("vault")).toMatchObject({ lastCheck: 11 });
  await inTurn();
  await again();
  expect(told()).toBe("4 3: 4");
  damage.clear();
  await again();
  expect(told()).toBe("3: 0");
  expect(records.at("vault")).toMatchObject({ lastCheck: 18 });
});

it("keeps since when there is no damage, and all was read, as long as something else is read", async () => {
  const records = await (await made())();
  await records.see(["vault"], 5);
  for (const group of [1, 2]) await records.noteCheck("vault", ended(10 * group, 2 * (group - 1), { group, of: 3 }));
  await records.noteCheck("vault", ended(30, 0, { group: 3, of: 3 }));
  expect(records.at("vault")).toMatchObject({ findings: 2, lastCheck: 10, checkEnded: 30 });
  expect(records.allRead("vault")).toBe(10);
});

it("looks again without reading for damage that any check sees", async () => {
  const { state, inTurn, again, told } = await checks();
  state.seen = 1;
  await inTurn();
  await again();
  expect(told()).toBe("1 none: 1");
  state.seen = 0;
  await again();
  expect(told()).toBe("none: 0");
});

it("reads everything again where that found the damage, and nothing twice", async () => {
  const { records, damage, state, inTurn, told } = await checks();
  damage.set(1, 1);
  await inTurn();
  await records.noteByHand("vault", ended(++state.time, 3, { group: 1, of: 1 }));
  damage.set(2, 1);
  await inTurn();
  expect(told()).toBe("1 2: 3");
  expect(records.damagedReads("vault")).toEqual([{ group: 1, of: 1 }]);
  await records.noteCheck("vault", ended(++state.time, 0, { group: 1, of: 1 }));
  expect(records.isDamaged("vault")).toBe(false);
});

it("takes up the file of an earlier version", async () => {
  const folder = await tempDir();
  const location = {
    lastSweep: 3,
    checkEnded: 7,
    findings: 2,
    read: { group: 2, of: 4 },
    part: 2,
    partsRead: [1, 7, 1, 1],
  };
  const state = new StateFolder(folder);
  await state.write("maintenance.json", { version: 1, started: {}, locations: { vault: location } });
  const records = new MaintenanceRecords(state);
  await records.load(0);
  expect(records.at("vault")).toMatchObject({ lastSweep: 3, findings: 2 });
  expect(records.nextRead("vault", 4)).toEqual({ group: 3, of: 4 });
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
    await records.noteCheck("primary", ended(20, 0, undefined));
    expect(records.allRead("primary")).toBe(10);
    await records.noteCheck("primary", ended(30, 0, { group: 1, of: 1 }));
    expect(records.allRead("primary")).toBe(30);
  });

  it("is when the part was read that was read longest ago", async () => {
    const records = await (await made())();
    await records.see(["primary"], 10);
    const seen: (number | undefined)[] = [];
    for (const now of [20, 30, 40, 50, 60]) {
      await records.noteCheck("primary", ended(now, 0, records.nextRead("primary", 3)));
      seen.push(records.allRead("primary"));
    }
    expect(seen).toEqual([10, 10, 20, 30, 40]);
    // Other parts from now on: all was read since 40, and nothing is known to be younger than that but the first half.
    await records.noteCheck("primary", ended(70, 0, { group: 1, of: 2 }));
    expect(records.allRead("primary")).toBe(40);
    await records.noteCheck("primary", ended(80, 0, { group: 2, of: 2 }));
    expect(records.allRead("primary")).toBe(70);
  });
});

describe("a check by hand", () => {
  const whole = { group: 1, of: 1 };

  it("counts once, as one of the daemon's", async () => {
    const again = await made();
    const records = await again();
    await records.see(["far"], 10);
    expect(await records.noteByHand("far", ended(20, 0, whole))).toBe(true);
    expect([records.at("far").lastCheck, records.allRead("far")]).toEqual([20, 20]);
    expect(await (await again()).noteByHand("far", ended(20, 0, whole))).toBe(false);
    await records.noteCheck("far", ended(30, 0, undefined));
    expect(await records.noteByHand("far", ended(25, 9, whole))).toBe(false);
    expect(records.isDamaged("far")).toBe(false);
  });

  it("of a part of the bytes says nothing of the parts that are read in turn", async () => {
    const records = await (await made())();
    await records.see(["far"], 10);
    for (const group of [1, 2]) await records.noteCheck("far", ended(10 + group, 0, { group, of: 3 }));
    await records.noteByHand("far", ended(20, 0, { group: 7, of: 10 }));
    expect([records.at("far").lastCheck, records.allRead("far")]).toEqual([20, 10]);
    expect(records.nextRead("far", 3)).toEqual({ group: 3, of: 3 });
  });

  it("that finds damage is repeated as it was, until that is mended", async () => {
    const records = await (await made())();
    const read = { group: 7, of: 10 };
    await records.noteByHand("far", ended(20, 2, read));
    expect(records.isDamaged("far")).toBe(true);
    expect(records.damagedReads("far")).toEqual([read]);
    await records.noteCheck("far", ended(30, 0, read));
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
    await records.noteCheck("far", ended(10, 2, { group: 1, of: 3 }));
    expect(await records.noteByHand("far", ended(20, 0, read))).toBe(!damaged);
    expect(records.isDamaged("far")).toBe(damaged);
  });
});
