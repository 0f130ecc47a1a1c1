import { expect, it } from "vitest";
import { LockRecords } from "../../src/job/lock-records.ts";
import { StateFolder } from "../../src/job/state-folder.ts";
import { tempDir } from "../helpers/temp-dir.ts";

const nameOf = (date: string, digit: string): string => `locks/${date}T000000000Z-${digit.repeat(16)}`;

it("remembers the records of each policy at each replica, for every process, and forgets those that end before the newest", async () => {
  const folder = await tempDir();
  const make = (location: string): LockRecords => new LockRecords(new StateFolder(folder), location);
  const [first, second, third] = [nameOf("20261201", "a"), nameOf("20261201", "b"), nameOf("20261208", "c")];
  expect(await make("vault").read(["often"])).toEqual(new Set());
  await make("vault").note("often", [first]);
  await make("vault").note("often", [second]);
  await make("vault").note("seldom", [third]);
  await make("other").note("often", [nameOf("20261201", "d")]);
  expect(await make("vault").read(["often"])).toEqual(new Set([first, second]));
  expect(await make("vault").read(["often", "seldom"])).toEqual(new Set([first, second, third]));
  const fourth = nameOf("20261208", "e");
  await make("vault").note("often", [fourth]);
  expect(await make("vault").read(["often"])).toEqual(new Set([fourth]));
});
