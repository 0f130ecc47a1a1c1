import { expect, test } from "vitest";
import { StillpointError } from "../../../src/errors.ts";
import { systemRandom } from "../../../src/host/random.ts";
import { BandwidthMeter } from "../../../src/storage/bandwidth-meter.ts";
import { withBandwidthLimit } from "../../../src/storage/wrappers/limit-bandwidth.ts";
import { withConcurrencyLimit } from "../../../src/storage/wrappers/limit-concurrency.ts";
import { type StorageCall, withObserver } from "../../../src/storage/wrappers/observe.ts";
import { readOnly } from "../../../src/storage/wrappers/read-only.ts";
import { withRetry } from "../../../src/storage/wrappers/retry.ts";
import { collect } from "../../helpers/collect.ts";
import { ManualClock } from "../../helpers/manual-clock.ts";
import { rejection } from "../../helpers/rejection.ts";
import { VersionedStorage } from "../../helpers/versioned-storage.ts";

const hour = 3_600_000;

function wrapped(rate?: number) {
  const clock = new ManualClock();
  const inner = new VersionedStorage(clock);
  const seen: StorageCall[] = [];
  const meter = new BandwidthMeter({ clock, rate: () => rate });
  const observed = withObserver(inner, (call) => seen.push(call), clock);
  const limited = withBandwidthLimit(withConcurrencyLimit(observed, 1), meter);
  const storage = withRetry(limited, { clock, random: systemRandom });
  return { clock, inner, seen, storage, locks: locksOf(storage) };
}

function locksOf({ locks }: { readonly locks?: VersionedStorage["locks"] }): NonNullable<VersionedStorage["locks"]> {
  if (locks === undefined) throw new Error("no locks");
  return locks;
}

test("every call on versions goes through all wrappers, and is observed", async () => {
  const { clock, seen, locks } = wrapped();
  const until = clock.now() + hour;
  expect(await locks.require()).toBe(clock.now());
  const version = await locks.put("a", [Buffer.from("data")], until);
  await locks.extend("a", version, until + hour);
  expect(await locks.lockedUntil("a", version)).toBe(until + hour);
  expect((await locks.get("a", version)).toString()).toBe("data");
  await locks.restore("a", version, until);
  expect(await collect(locks.versions(""))).toHaveLength(2);
  expect(seen.map(({ operation, bytes }) => `${operation} ${bytes}`)).toEqual([
    "stat 0",
    "put 4",
    "put 0",
    "stat 0",
    "get 4",
    "put 0",
    "list 0",
  ]);
});

test("what fails for a while is tried again; a listing yields each version once", async () => {
  const { clock, inner, locks } = wrapped();
  await inner.put("a", [Buffer.from("1")]);
  await inner.put("a", [Buffer.from("2")]);
  const own = locksOf(inner);
  const versions = own.versions.bind(own);
  let failures = 2;
  own.versions = async function* broken(prefix) {
    for await (const version of versions(prefix)) {
      yield version;
      if (failures-- > 0) throw new StillpointError("storage_failed", { what: "broken" });
    }
  };
  const listed = await clock.runUntil(collect(locks.versions("")));
  expect(listed.map(({ version }) => version)).toEqual(["v2", "v1"]);
  expect(clock.slept.length).toBeGreaterThan(0);
});

test("bytes count for the bandwidth", async () => {
  const { clock, locks } = wrapped(1000);
  const waited = (): number => clock.slept.reduce((sum, one) => sum + one, 0);
  const version = await clock.runUntil(locks.put("a", [Buffer.alloc(1000)], hour));
  expect(waited()).toBe(1000);
  await clock.runUntil(locks.get("a", version));
  expect(waited()).toBe(2000);
});

test("read-only refuses whatever changes something", async () => {
  const { inner } = wrapped();
  await inner.put("a", []);
  const locks = locksOf(readOnly(inner));
  const [version] = await collect(locks.versions("a"));
  const id = version?.version ?? "";
  for (const change of [locks.put("a", [], hour), locks.extend("a", id, hour), locks.restore("a", id, hour)])
    expect(await rejection(change)).toMatchObject({ code: "storage_denied" });
  expect(await locks.lockedUntil("a", id)).toBeUndefined();
  expect(inner.versions.get("a")).toHaveLength(1);
});

test("a storage without locks has none in any wrapper", () => {
  const clock = new ManualClock();
  const plain = new VersionedStorage(clock, "far", { locks: false });
  expect(readOnly(withRetry(withConcurrencyLimit(plain, 1), { clock, random: systemRandom })).locks).toBeUndefined();
});
