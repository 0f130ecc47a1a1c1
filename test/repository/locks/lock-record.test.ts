import { describe, expect, test } from "vitest";
import {
  type LockContent,
  openLockRecord,
  sealLockRecord,
  sealLockRecords,
  untilOf,
} from "../../../src/repository/locks/lock-record.ts";
import { KeyRing } from "../../../src/repository/keys/key-ring.ts";

const keys = new KeyRing({ masterKey: Buffer.alloc(32, 1), repositoryId: Buffer.alloc(16, 2) });
const point = "ab".repeat(16);
const content: LockContent = {
  time: Date.UTC(2026, 10, 22),
  until: Date.UTC(2026, 11, 26),
  points: [point],
  objects: new Map([["format", "v1"]]),
};

test("a record comes back as it was", () => {
  const { name, data } = sealLockRecord(keys, content);
  expect(openLockRecord(keys, name, data)).toEqual({ name, ...content });
  expect(untilOf(name)).toBe(content.until);
});

test("more objects than one record holds take several, and the last one alone names the points", () => {
  const objects = new Map(Array.from({ length: 20_001 }, (_, number) => [`packs/${String(number)}`, "v"]));
  const records = [...sealLockRecords(keys, { ...content, objects })].map(({ name, data }) =>
    openLockRecord(keys, name, data),
  );
  expect(records.map((record) => record.objects.size)).toEqual([20_000, 1]);
  expect(new Map(records.flatMap((record) => [...record.objects]))).toEqual(objects);
  expect(records.map(({ points }) => points)).toEqual([[], [point]]);
});

test("points whose objects are all on record already take one without any", () => {
  const [record, ...others] = [...sealLockRecords(keys, { ...content, objects: new Map() })];
  expect(others).toEqual([]);
  expect(openLockRecord(keys, record?.name ?? "", record?.data ?? Buffer.alloc(0))).toMatchObject({ points: [point] });
});

describe("isn't believed", () => {
  const name = `locks/20261226T000000000Z-${"0".repeat(16)}`;
  const json = {
    version: 1,
    repository: keys.repositoryId,
    time: "2026-11-22T00:00:00.000Z",
    until: "2026-12-26T00:00:00.000Z",
    points: [point],
    objects: {},
  };

  const damaged = (message: RegExp): unknown =>
    expect.objectContaining({ code: "damaged", message: expect.stringMatching(message) as unknown });

  test.each<[string, object, RegExp]>([
    ["of another repository", { repository: "00".repeat(16) }, /belongs to another repository/],
    ["that lasts longer than its name says", { until: "2099-12-26T00:00:00.000Z" }, /another time than its name says/],
    ["of another version", { version: 2 }, /known form/],
    ["with something else for a point", { points: ["../format"] }, /known form/],
    ["without an end", { until: "never" }, /known form/],
  ])("a record %s", (_, change, message) => {
    const data = keys.sealSigned("locks", Buffer.from(JSON.stringify({ ...json, ...change })));
    expect(() => openLockRecord(keys, name, data)).toThrow(damaged(message));
  });

  test("a record that is sealed and not signed, or signed as something else", () => {
    const text = Buffer.from(JSON.stringify(json));
    const asManifest = keys.openObject("manifest", keys.sealSigned("manifest", text), name);
    for (const signed of [Buffer.concat([Buffer.alloc(64), text]), asManifest]) {
      const data = keys.sealObject("locks", signed);
      expect(() => openLockRecord(keys, name, data)).toThrow(damaged(/its signature is wrong/));
    }
  });
});

test.each([
  "locks/20261226T000000000Z-0",
  `locks/20261326T000000000Z-${"0".repeat(16)}`,
  `locks/x/20261226T000000000Z-${"0".repeat(16)}`,
])("no record has the name %s", (name) => {
  expect(untilOf(name)).toBeUndefined();
});
