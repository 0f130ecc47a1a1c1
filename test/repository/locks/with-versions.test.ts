import { expect, test } from "vitest";
import { withVersions } from "../../../src/repository/locks/with-versions.ts";
import { collect } from "../../helpers/collect.ts";
import { ManualClock } from "../../helpers/manual-clock.ts";
import { rejection } from "../../helpers/rejection.ts";
import { VersionedStorage } from "../../helpers/versioned-storage.ts";

test("what was replaced or hidden is there once, as its true version is; all else is as it is", async () => {
  const storage = new VersionedStorage(new ManualClock());
  const { locks } = storage;
  if (locks === undefined) throw new Error("no locks");
  const names = ["a/hidden", "a/replaced", "a/untouched", "b/hidden"];
  for (const name of names) await storage.put(name, [Buffer.from(`true ${name}`)]);
  const versions = await Promise.all(
    names
      .filter((name) => name !== "a/untouched")
      .map(async (name) => ({ version: storage.versions.get(name)?.[0]?.id ?? "", info: await storage.stat(name) })),
  );
  for (const name of ["a/hidden", "b/hidden"]) await storage.delete(name);
  await storage.put("a/replaced", [Buffer.from("forged")]);
  const reading = withVersions(storage, locks, versions);
  const listed = await collect(reading.list("a/"));
  expect(listed.map(({ name, size }) => `${name} ${String(size)}`).toSorted()).toEqual([
    "a/hidden 13",
    "a/replaced 15",
    "a/untouched 16",
  ]);
  for (const name of names) {
    expect((await reading.get(name)).toString()).toBe(`true ${name}`);
    expect((await reading.get(name, { offset: 5, length: 3 })).toString()).toBe(name.slice(0, 3));
    expect((await reading.stat(name)).size).toBe(5 + name.length);
  }
  expect(await rejection(reading.get("c"))).toMatchObject({ code: "object_missing" });
});
