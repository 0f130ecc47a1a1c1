import { expect, test } from "vitest";
import { createStorage, openStorage } from "../../src/storage/open.ts";
import type { StorageCall } from "../../src/storage/wrappers/observe.ts";
import type { StorageAddress } from "../../src/storage/storage.ts";
import { ManualClock } from "../helpers/manual-clock.ts";
import { rejection } from "../helpers/rejection.ts";
import { tempDir } from "../helpers/temp-dir.ts";

async function address(): Promise<StorageAddress> {
  return { kind: "fs", location: "usb", path: `${await tempDir()}/store` };
}

test("a storage is made once, and opened any number of times", async () => {
  const at = await address();
  await createStorage(at);
  await openStorage(at).put("format", [Buffer.from("1")]);
  await createStorage(at);
  const reopened = openStorage(structuredClone(at), { readOnly: true });
  expect(reopened.location).toBe("usb");
  expect((await reopened.get("format")).toString()).toBe("1");
  expect(await rejection(reopened.put("format", []))).toMatchObject({ code: "storage_denied" });
});

test("opening never makes a storage, and the observer sees each try at one that isn't there", async () => {
  const clock = new ManualClock();
  const seen: string[] = [];
  const observer = ({ operation, error }: StorageCall): unknown => seen.push(`${operation} ${error ?? "succeeded"}`);
  const storage = openStorage(await address(), { clock, observer });
  expect(await clock.runUntil(rejection(storage.put("format", [])))).toMatchObject({ code: "storage_unreachable" });
  expect(seen).toEqual(Array.from({ length: 5 }, () => "put storage_unreachable"));
  expect(clock.slept).toHaveLength(4);
});

test("a pause between two tries takes no turn from another call", async () => {
  const clock = new ManualClock();
  const storage = openStorage(await address(), { clock, concurrency: 1 });
  const calls = ["a", "b"].map((name) => rejection(storage.get(name)));
  while (clock.sleeping < calls.length) await clock.advance(0);
  expect(await clock.runUntil(Promise.all(calls))).toHaveLength(2);
});

test("what has come from a storage is told, and a failure isn't", async () => {
  const at = await address();
  const clock = new ManualClock();
  let told = 0;
  const storage = openStorage(at, { clock, moved: () => (told += 1) });
  await clock.runUntil(rejection(storage.put("a", [])));
  expect(told).toBe(0);
  await createStorage(at);
  await storage.put("a", [Buffer.from("1")]);
  expect(told).toBe(1);
  await rejection(storage.get("b"));
  expect(told).toBe(1);
  await storage.get("a");
  expect(told).toBe(2);
});
