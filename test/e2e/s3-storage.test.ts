/** The S3 driver on a real Ceph: what the storage contract says, what faults on the way do, and how much goes on at once. */
import { ListMultipartUploadsCommand, ListObjectVersionsCommand } from "@aws-sdk/client-s3";
import { randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { inspect } from "node:util";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { systemClock } from "../../src/host/clock.ts";
import { S3Storage, type S3StorageOptions } from "../../src/storage/drivers/s3/s3-storage.ts";
import { createStorage, openStorage } from "../../src/storage/open.ts";
import type { S3Address, Storage } from "../../src/storage/storage.ts";
import { withConcurrencyLimit } from "../../src/storage/wrappers/limit-concurrency.ts";
import { withRetry } from "../../src/storage/wrappers/retry.ts";
import { storageContract } from "../contract/storage-contract.ts";
import { Ceph } from "../helpers/ceph.ts";
import { collect } from "../helpers/collect.ts";
import { FaultProxy } from "../helpers/fault-proxy.ts";
import { fastMeter } from "../helpers/fast-meter.ts";
import { rejection } from "../helpers/rejection.ts";
import { seededRandom } from "../helpers/seeded-random.ts";
import { tempDir } from "../helpers/temp-dir.ts";

let ceph: Ceph;
let made = 0;

beforeAll(async () => {
  ceph = await Ceph.start();
  await ceph.makeBucket("plain");
  await ceph.makeBucket("versions", "versions");
}, 300_000);
afterAll(async () => await ceph.stop());

/** A new, empty place in a bucket. */
function place(bucket = "plain", endpoint = ceph.endpoint): S3Address {
  return { ...ceph.address(bucket, `host${++made}/`), endpoint };
}

/** So that small objects go in parts too. */
const small = { single: 1000, part: 60_000 };

storageContract("s3 on Ceph", async () => new S3Storage({ address: place() }));
storageContract(
  "s3 on Ceph, in parts, with versions",
  async () => new S3Storage({ address: place("versions"), sizes: small }),
);
storageContract("s3 on Ceph, one call at a time", async () =>
  withConcurrencyLimit(new S3Storage({ address: place() }), 1),
);
storageContract("s3 on Ceph, opened with everything", async () => {
  const address = { ...place(), prefix: `deep/er/host${++made}/` };
  await createStorage(address);
  return openStorage(address, { concurrency: 4, bandwidth: fastMeter(), observer: () => undefined });
});

interface Faulty {
  readonly proxy: FaultProxy;
  /** As the wrapper that tries again sees it. */
  readonly storage: Storage;
  readonly driver: S3Storage;
}

async function faulty(options: Partial<S3StorageOptions> = {}): Promise<Faulty> {
  const proxy = new FaultProxy(ceph.endpoint);
  onTestFinished(async () => await proxy[Symbol.asyncDispose]());
  const address = place("plain", await proxy.start());
  const driver = new S3Storage({ address, ...options });
  return { proxy, driver, storage: withRetry(driver, { clock: systemClock, random: seededRandom(1) }) };
}

const faults = [
  ["cut before it arrives", { kind: "cut" }, "storage_unreachable"],
  ["cut before the answer", { kind: "cut-answer" }, "storage_unreachable"],
  ["never answered", { kind: "hang" }, "storage_unreachable"],
  ["500", { kind: "answer", status: 500, code: "InternalError" }, "storage_failed"],
  ["503 SlowDown", { kind: "answer", status: 503, code: "SlowDown" }, "storage_failed"],
] as const;

describe.each(faults)("a request that is %s", (_, fault, code) => {
  test.each([
    ["PUT", async (storage: Storage) => await storage.put("a", [Buffer.from("new")])],
    ["GET", async (storage: Storage) => await storage.get("a")],
    ["HEAD", async (storage: Storage) => await storage.stat("a")],
    ["GET /plain.*list-type", async (storage: Storage) => await collect(storage.list(""))],
    ["DELETE", async (storage: Storage) => await storage.delete("a")],
  ] as const)("%s fails as the contract says, and succeeds when tried again", async (line, call) => {
    // Not so little where the store is to answer: on a busy machine it may take longer.
    const patience = fault.kind === "hang" ? { connect: 2000, idle: 2000 } : undefined;
    const { proxy, storage, driver } = await faulty({ patience });
    await storage.put("a", [Buffer.from("old")]);
    proxy.next(new RegExp(`^${line}`), fault, 1);
    expect(await rejection(call(driver))).toMatchObject({ code, retryable: true });
    await storage.put("a", [Buffer.from("old")]);
    proxy.next(new RegExp(`^${line}`), fault, 2);
    await call(storage);
    expect(proxy.unmet).toBe(0);
  });
});

test("an answer that ends early is never taken for the whole object", async () => {
  const { proxy, storage, driver } = await faulty();
  const data = randomBytes(300_000);
  await storage.put("a", [data]);
  for (const after of [0, 1, 299_999]) {
    proxy.next(/^GET/, { kind: "truncate", after });
    expect(await rejection(driver.get("a"))).toMatchObject({ retryable: true });
    proxy.next(/^GET/, { kind: "truncate", after: after % 1000 });
    expect((await storage.get("a", { offset: 5, length: 1000 })).equals(data.subarray(5, 1005))).toBe(true);
  }
});

test("what was altered on the way is refused by the store, and sent again", async () => {
  const { proxy, storage, driver } = await faulty();
  const data = randomBytes(200_000);
  proxy.next(/^PUT/, { kind: "flip" }, 2);
  expect(await rejection(driver.put("a", [data]))).toMatchObject({ code: "storage_failed", retryable: true });
  await storage.put("a", [data]);
  expect((await storage.get("a")).equals(data)).toBe(true);
  const inParts = await faulty({ sizes: small });
  inParts.proxy.next(/partNumber=2/, { kind: "flip" });
  await inParts.driver.put("b", [data]);
  expect((await inParts.driver.get("b")).equals(data)).toBe(true);
  expect(proxy.unmet + inParts.proxy.unmet).toBe(0);
});

test("a part that fails is sent again alone", async () => {
  const { proxy, driver } = await faulty({ sizes: small });
  const data = randomBytes(500_000);
  proxy.next(/partNumber=3/, { kind: "cut" });
  proxy.next(/partNumber=5/, { kind: "answer", status: 503, code: "SlowDown" }, 2);
  await driver.put("big", [data.subarray(0, 123_456), data.subarray(123_456)]);
  expect((await driver.get("big")).equals(data)).toBe(true);
  expect(proxy.seen.filter((line) => line.includes("partNumber="))).toHaveLength(9 + 3);
});

test("an upload that fails for good, or is cancelled, leaves neither the object nor its parts", async () => {
  const { proxy, driver } = await faulty({ sizes: small });
  const data = randomBytes(500_000);
  proxy.next(/partNumber=4/, { kind: "answer", status: 403, code: "AccessDenied" });
  expect(await rejection(driver.put("one", [data]))).toMatchObject({ code: "storage_denied" });
  const stop = new AbortController();
  proxy.next(/partNumber=7/, { kind: "hang" }, 9);
  const cancelled = rejection(driver.put("two", [data], { signal: stop.signal }));
  while (!proxy.seen.some((line) => line.includes("partNumber=7"))) await systemClock.sleep(10);
  stop.abort();
  expect(await cancelled).toMatchObject({ code: "cancelled" });
  const client = ceph.client();
  onTestFinished(() => client.destroy());
  const unfinished = async (): Promise<unknown> =>
    (await client.send(new ListMultipartUploadsCommand({ Bucket: "plain" }))).Uploads;
  await expect.poll(unfinished, { timeout: 120_000 }).toBeUndefined();
  expect(await collect(driver.list(""))).toEqual([]);
});

test("a listing comes in pages, and one that breaks between them doesn't end early", async () => {
  const { proxy, storage } = await faulty();
  const names = Array.from({ length: 1100 }, (_, n) => `index/${n}`);
  await Promise.all(names.map(async (name) => await storage.put(name, [])));
  proxy.next(/^GET.*continuation-token/, { kind: "truncate", after: 500 });
  const listed = await collect(storage.list("index/"));
  expect(listed.map(({ name }) => name).toSorted()).toEqual(names.toSorted());
  // All those puts at once, and still a bounded number of requests.
  expect(proxy.most).toBeLessThanOrEqual(32);
});

test("in a bucket with versions nothing that was replaced or deleted is seen, and nothing is lost", async () => {
  const address = place("versions");
  const storage = new S3Storage({ address });
  await storage.put("a", [Buffer.from("1")]);
  await storage.put("a", [Buffer.from("22")]);
  await storage.put("b", [Buffer.from("333")]);
  await storage.delete("b");
  expect(await collect(storage.list(""))).toMatchObject([{ name: "a", size: 2 }]);
  expect(await rejection(storage.stat("b"))).toMatchObject({ code: "object_missing" });
  const client = ceph.client();
  onTestFinished(() => client.destroy());
  const kept = await client.send(new ListObjectVersionsCommand({ Bucket: "versions", Prefix: address.prefix }));
  expect({ versions: kept.Versions?.length, markers: kept.DeleteMarkers?.length }).toEqual({ versions: 3, markers: 1 });
});

test("a bucket that isn't there, a wrong key and a wrong store are told apart", async () => {
  const open = (changes: Partial<S3Address>): S3Storage => new S3Storage({ address: { ...place(), ...changes } });
  const missing = open({ bucket: "never-made" });
  for (const call of [
    () => missing.stat("a"),
    () => missing.get("a"),
    () => missing.put("a", []),
    () => missing.delete("a"),
    () => collect(missing.list("")),
  ]) {
    expect(await rejection(call())).toMatchObject({ code: "storage_unreachable" });
  }
  expect(await rejection(createStorage({ ...place(), bucket: "never-made" }))).toMatchObject({
    code: "storage_unreachable",
    message: expect.stringContaining("there is no bucket never-made"),
  });
  const stranger = `${await tempDir()}/stranger`;
  await writeFile(stranger, `aws_access_key_id=${ceph.accessKey}\naws_secret_access_key=guessed-secret\n`);
  const denied = await rejection(open({ credentials: { kind: "file", path: stranger } }).put("a", []));
  expect(denied).toMatchObject({ code: "storage_denied", message: expect.stringContaining("SignatureDoesNotMatch") });
  expect(inspect(denied, { depth: 9 })).not.toMatch(/guessed-secret|Signature=/);
  expect(await rejection(open({ endpoint: "http://127.0.0.1:1" }).get("a"))).toMatchObject({
    code: "storage_unreachable",
    message: expect.stringContaining("ECONNREFUSED"),
  });
});
