import { expect, test } from "vitest";
import { readOnly } from "../../../src/storage/wrappers/read-only.ts";
import { type StorageCall, withObserver } from "../../../src/storage/wrappers/observe.ts";
import { collect } from "../../helpers/collect.ts";
import { ManualClock } from "../../helpers/manual-clock.ts";
import { faultyStorage } from "../../helpers/memory-storage.ts";
import { rejection } from "../../helpers/rejection.ts";

async function setUp() {
  const clock = new ManualClock();
  const faulty = await faultyStorage(clock);
  await faulty.put("a", [Buffer.from("12345")]);
  await faulty.put("b", [Buffer.from("1")]);
  const seen: StorageCall[] = [];
  return { clock, faulty, seen, storage: withObserver(faulty, (call) => seen.push(call), clock) };
}

const call = { location: "primary", bytes: 0, duration: 0, error: undefined };

test("the observer sees every call, with its bytes", async () => {
  const { seen, storage } = await setUp();
  await storage.put("c", [Buffer.alloc(3), Buffer.alloc(4)]);
  await storage.get("a");
  await storage.get("a", { offset: 1, length: 2 });
  await storage.stat("a");
  await storage.delete("c");
  expect(await collect(storage.list(""))).toHaveLength(2);
  expect(seen).toEqual([
    { ...call, operation: "put", bytes: 7 },
    { ...call, operation: "get", bytes: 5 },
    { ...call, operation: "get", bytes: 2 },
    { ...call, operation: "stat" },
    { ...call, operation: "delete" },
    { ...call, operation: "list" },
  ]);
});

test("the observer sees how long a call took, and how it failed", async () => {
  const { clock, faulty, seen, storage } = await setUp();
  faulty.script({ operation: "get", fault: { kind: "slow", ms: 250 } });
  const slow = storage.get("a");
  await clock.runAll();
  await slow;
  faulty.script({ operation: "put", fault: { kind: "fail", code: "storage_full" } });
  await rejection(storage.put("c", [Buffer.alloc(3)]));
  faulty.script({ operation: "list", fault: { kind: "break", after: 1, code: "storage_failed" } });
  await rejection(collect(storage.list("")));
  expect(seen).toEqual([
    { ...call, operation: "get", bytes: 5, duration: 250 },
    { ...call, operation: "put", error: "storage_full" },
    { ...call, operation: "list", error: "storage_failed" },
  ]);
});

test("a listing's duration is its own, not its consumer's, also when it is left early", async () => {
  const { clock, faulty, seen, storage } = await setUp();
  faulty.script({ operation: "list", fault: { kind: "slow", ms: 30 }, times: 2 });
  const consume = async (stopAfter: number): Promise<void> => {
    let count = 0;
    for await (const info of storage.list("")) {
      expect(info.name).toBeTruthy();
      await clock.sleep(1000);
      count += 1;
      if (count === stopAfter) break;
    }
  };
  for (const stopAfter of [1, 99]) {
    const consuming = consume(stopAfter);
    await clock.runAll();
    await consuming;
  }
  expect(seen.map(({ duration }) => duration)).toEqual([30, 30]);
});

test("a storage opened for reading refuses every change, and reads", async () => {
  const { faulty } = await setUp();
  const storage = readOnly(faulty);
  faulty.calls.length = 0;
  expect(await rejection(storage.put("c", []))).toMatchObject({ code: "storage_denied" });
  expect(await rejection(storage.delete("a"))).toMatchObject({ code: "storage_denied" });
  expect(faulty.calls).toEqual([]);
  expect((await storage.get("a", { offset: 0, length: 2 })).toString()).toBe("12");
  expect(await storage.stat("a")).toMatchObject({ size: 5 });
  expect(await collect(storage.list(""))).toHaveLength(2);
});
