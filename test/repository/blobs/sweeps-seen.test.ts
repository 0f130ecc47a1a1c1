import { beforeEach, describe, expect, test } from "vitest";
import { longestReliance, SweepsSeen } from "../../../src/repository/blobs/sweeps-seen.ts";
import { putSmallObject, type SweepRecord } from "../../../src/repository/points/small-objects.ts";
import type { Repository } from "../../../src/repository/repository.ts";
import { FaultyStorage } from "../../helpers/faulty-storage.ts";
import { makeTestRepository, overriding, type TestRepository } from "../../helpers/repository.ts";

const hour = 3_600_000;
let here: TestRepository;
let repository: Repository;

beforeEach(async () => {
  here = await makeTestRepository();
  ({ repository } = here);
});

async function sweptWith(hours: number): Promise<string> {
  const time = new Date(here.clock.now()).toISOString();
  const record: SweepRecord = { version: 1, time, grace: hours * hour, points: [], condemned: [], orphans: [] };
  return await putSmallObject(repository, "sweeps", record);
}

test.each([
  [[24], 23],
  [[2], 1],
  [[1], 0.5],
  [[72, 24, 48], 23],
])("where grace periods are of %j h, what was seen may be relied on for %d h", (graces, longest) => {
  expect(longestReliance(graces.map((grace) => grace * hour))).toBe(longest * hour);
});

describe("a writer goes by", () => {
  test("its own grace period where nobody sweeps, or with a longer one", async () => {
    const seen = await SweepsSeen.begin(repository, {});
    here.clock.pass(hour);
    expect(await seen.longestReliance(72 * hour, {})).toBe(71 * hour);
    await sweptWith(96);
    here.clock.pass(hour);
    expect(await seen.longestReliance(72 * hour, {})).toBe(71 * hour);
  });

  test("that of any sweep that has left a record since, also when the record has gone again", async () => {
    const seen = await SweepsSeen.begin(repository, {});
    const name = await sweptWith(24);
    here.clock.pass(hour);
    expect(await seen.longestReliance(72 * hour, {})).toBe(23 * hour);
    await repository.storage.delete(name);
    await sweptWith(48);
    here.clock.pass(hour);
    expect(await seen.longestReliance(72 * hour, {})).toBe(23 * hour);
  });

  test("none of a sweep before it began: what that has condemned it doesn't rely on", async () => {
    await sweptWith(24);
    const seen = await SweepsSeen.begin(repository, {});
    here.clock.pass(hour);
    expect(await seen.longestReliance(72 * hour, {})).toBe(71 * hour);
    expect([...seen.records.values()]).toMatchObject([{ grace: 24 * hour }]);
  });
});

describe("a look at the records", () => {
  test("is spared within a minute, and reads no record twice", async () => {
    const storage = new FaultyStorage(repository.storage);
    const old = await sweptWith(24);
    const seen = await SweepsSeen.begin({ ...repository, storage }, {});
    const newer = await sweptWith(48);
    await seen.longestReliance(72 * hour, {});
    const begun = ["list sweeps/", `get ${old}`];
    expect(storage.calls).toEqual(begun);
    const looks = [[`get ${newer}`], []];
    for (const [number, reads] of looks.entries()) {
      here.clock.pass(60_000);
      for (let i = 0; i < 2; i++) expect(await seen.longestReliance(72 * hour, {})).toBe(47 * hour);
      const expected = looks.slice(0, number).flatMap((before) => ["list sweeps/", ...before]);
      expect(storage.calls).toEqual([...begun, ...expected, "list sweeps/", ...reads]);
    }
  });

  test("begins anew when a sweep deletes a record that it has seen listed", async () => {
    let overtaken = false;
    const storage = overriding(repository.storage, {
      get: async (name, ...rest) => {
        if (!overtaken) {
          overtaken = true;
          await sweptWith(48);
          await repository.storage.delete(name);
        }
        return await repository.storage.get(name, ...rest);
      },
    });
    const seen = await SweepsSeen.begin({ ...repository, storage }, {});
    await sweptWith(72);
    here.clock.pass(60_000);
    expect(await seen.longestReliance(96 * hour, {})).toBe(47 * hour);
    expect(overtaken).toBe(true);
  });
});
