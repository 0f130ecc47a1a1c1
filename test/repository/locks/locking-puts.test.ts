import { expect, test } from "vitest";
import { lockingPuts } from "../../../src/repository/locks/locking-puts.ts";
import { ManualClock } from "../../helpers/manual-clock.ts";
import { VersionedStorage } from "../../helpers/versioned-storage.ts";

test("what recovery points need is locked when it is put, and nothing that must change", async () => {
  const storage = new VersionedStorage(new ManualClock());
  const { locks } = storage;
  if (locks === undefined) throw new Error("no locks");
  const told: string[] = [];
  const locking = lockingPuts({
    storage,
    locks,
    until: 1e15,
    onPut: (name, version) => told.push(`${name} ${version}`),
  });
  const needed = ["format", "keys/a", "packs/aa/a", "index/a", "points/a/b", "config/a"];
  const changing = [
    "lease",
    "locks/a",
    "tags/a/b",
    "holds/a/b",
    "readers/a/b",
    "proofs/a/b",
    "forgotten/a",
    "sweeps/a",
  ];
  for (const name of [...needed, ...changing]) await locking.put(name, [Buffer.from(name)]);
  for (const name of needed) expect(storage.until(name)).toBe(1e15);
  for (const name of changing) expect(storage.until(name)).toBeUndefined();
  expect(told).toEqual(needed.map((name) => `${name} ${storage.versions.get(name)?.[0]?.id ?? ""}`));
});
