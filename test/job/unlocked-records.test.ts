import * as fs from "node:fs/promises";
import * as path from "node:path";
import { expect, it } from "vitest";
import { StateFolder } from "../../src/job/state-folder.ts";
import { UnlockedRecords } from "../../src/job/unlocked-records.ts";
import { tempDir } from "../helpers/temp-dir.ts";

const far = { policy: "often", location: "far" };

it("keeps the number of each policy at each replica, for every process", async () => {
  const folder = await tempDir();
  const make = (): UnlockedRecords => new UnlockedRecords(new StateFolder(folder));
  expect(await make().read(far)).toBeUndefined();
  await make().note(far, 3);
  await make().note({ ...far, policy: "seldom" }, 1);
  await make().note({ ...far, location: "near" }, 0);
  expect(await make().read(far)).toBe(3);
  await make().note(far, 0);
  expect(await make().read(far)).toBe(0);
  expect(await make().read({ ...far, policy: "seldom" })).toBe(1);
});

it("writes only what is news", async () => {
  const folder = await tempDir();
  const records = new UnlockedRecords(new StateFolder(folder));
  await records.note(far, 3);
  const file = path.join(folder, "unlocked", "often", "far.json");
  const { ino } = await fs.stat(file);
  await records.note(far, 3);
  expect((await fs.stat(file)).ino).toBe(ino);
  await records.note(far, 2);
  expect((await fs.stat(file)).ino).not.toBe(ino);
});
