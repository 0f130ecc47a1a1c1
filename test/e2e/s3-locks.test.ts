/** Object Lock on a real Ceph: what a thief with the access key can't do, and how what he could do is seen and undone. */
import { DeleteObjectCommand, PutObjectRetentionCommand, type S3Client } from "@aws-sdk/client-s3";
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { S3Storage } from "../../src/storage/drivers/s3/s3-storage.ts";
import type { ObjectLocks } from "../../src/storage/object-locks.ts";
import { Ceph } from "../helpers/ceph.ts";
import { collect } from "../helpers/collect.ts";
import { rejection } from "../helpers/rejection.ts";

let ceph: Ceph;
let client: S3Client;
let made = 0;

beforeAll(async () => {
  ceph = await Ceph.start();
  client = ceph.client();
  await ceph.makeBucket("locks", "locks");
  await ceph.makeBucket("plain");
  await ceph.makeBucket("versions", "versions");
}, 300_000);
afterAll(async () => {
  client.destroy();
  await ceph.stop();
});

const hour = 3_600_000;
/** Whole seconds, as S3 keeps them. */
const inHours = (hours: number): number => Math.floor(Date.now() / 1000) * 1000 + hours * hour;

interface Place {
  readonly storage: S3Storage;
  readonly locks: ObjectLocks;
  readonly key: (name: string) => { Bucket: string; Key: string };
}

function place(bucket = "locks", mode: "governance" | "compliance" = "compliance"): Place {
  const prefix = `host${++made}/`;
  const address = { ...ceph.address(bucket, prefix), location: "vault", objectLock: mode };
  const storage = new S3Storage({ address, sizes: { single: 1000, part: 60_000 } });
  if (storage.locks === undefined) throw new Error("opened without locks");
  return { storage, locks: storage.locks, key: (name) => ({ Bucket: bucket, Key: prefix + name }) };
}

describe.each([
  ["small", 100],
  ["sent in parts", 200_000],
])("an object that is %s", (_, size) => {
  test.each(["governance", "compliance"] as const)("is locked (%s) from its first moment", async (mode) => {
    const { locks, key } = place("locks", mode);
    const data = randomBytes(size);
    const until = inHours(1);
    const version = await locks.put("packs/a", [data], until);
    expect(await locks.lockedUntil("packs/a", version)).toBe(until);
    const destroy = client.send(new DeleteObjectCommand({ ...key("packs/a"), VersionId: version }));
    expect(await rejection(destroy)).toMatchObject({ name: "AccessDenied" });
    expect((await locks.get("packs/a", version)).equals(data)).toBe(true);
  });

  test("comes back after a thief has deleted it or put something over it", async () => {
    const { storage, locks } = place();
    const data = randomBytes(size);
    const version = await locks.put("packs/a", [data], inHours(1));
    await storage.delete("packs/a");
    expect(await rejection(storage.get("packs/a"))).toMatchObject({ code: "object_missing" });
    const until = inHours(2);
    const second = await locks.restore("packs/a", version, until);
    expect((await storage.get("packs/a")).equals(data)).toBe(true);
    expect(await locks.lockedUntil("packs/a", second)).toBe(until);
    await storage.put("packs/a", [Buffer.from("forged")]);
    await locks.restore("packs/a", version, until);
    expect((await storage.get("packs/a")).equals(data)).toBe(true);
  });
});

test.each(["governance", "compliance"] as const)("a lock (%s) is extended and never shortened", async (mode) => {
  const { locks, key } = place("locks", mode);
  const version = await locks.put("points/a", [Buffer.from("point")], inHours(1));
  const until = inHours(5);
  await locks.extend("points/a", version, until);
  await locks.extend("points/a", version, inHours(2));
  expect(await locks.lockedUntil("points/a", version)).toBe(until);
  const Retention = {
    Mode: mode === "governance" ? "GOVERNANCE" : "COMPLIANCE",
    RetainUntilDate: new Date(inHours(1)),
  } as const;
  const shorten = new PutObjectRetentionCommand({ ...key("points/a"), VersionId: version, Retention });
  expect(await rejection(client.send(shorten))).toMatchObject({ name: "AccessDenied" });
});

test("what was put without a lock can be locked later", async () => {
  const { storage, locks } = place();
  await storage.put("index/a", [Buffer.from("index")]);
  const [only] = await collect(locks.versions("index/"));
  const version = only?.version ?? "";
  expect(await locks.lockedUntil("index/a", version)).toBeUndefined();
  const until = inHours(3);
  await locks.extend("index/a", version, until);
  expect(await locks.lockedUntil("index/a", version)).toBe(until);
});

test("markers and what lies under them are seen, page by page", async () => {
  const { storage, locks } = place();
  const names = Array.from({ length: 550 }, (_, n) => `packs/${n}`);
  await Promise.all(names.map(async (name) => await storage.put(name, [])));
  await Promise.all(names.map(async (name) => await storage.delete(name)));
  await storage.put("other", [Buffer.from("123")]);
  const seen = await collect(locks.versions("packs/"));
  expect(seen).toHaveLength(1100);
  expect(
    seen
      .filter(({ marker }) => marker)
      .map(({ name }) => name)
      .toSorted(),
  ).toEqual(names.toSorted());
  expect(seen.every(({ marker, current }) => marker === current)).toBe(true);
  expect(await collect(locks.versions("o"))).toMatchObject([{ name: "other", current: true, marker: false, size: 3 }]);
});

test("a version that isn't there is missing, and a bucket without locks is refused", async () => {
  const { locks } = place();
  expect(Math.abs((await locks.require()) - Date.now())).toBeLessThan(60_000);
  const version = await locks.put("a", [], inHours(1));
  expect(await rejection(locks.get("b", version))).toMatchObject({ code: "object_missing" });
  for (const bucket of ["plain", "versions"]) {
    const other = place(bucket).locks;
    expect(await rejection(other.require())).toMatchObject({ code: "storage_denied", retryable: false });
  }
});
