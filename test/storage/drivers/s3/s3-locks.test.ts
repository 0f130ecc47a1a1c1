/** Object Lock at stores that answer what Ceph doesn't; the rest is in test/e2e/s3-locks.test.ts. */
import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { S3Storage, type S3StorageOptions } from "../../../../src/storage/drivers/s3/s3-storage.ts";
import type { LockMode, ObjectLocks } from "../../../../src/storage/object-locks.ts";
import { collect } from "../../../helpers/collect.ts";
import { rejection } from "../../../helpers/rejection.ts";
import { type Answer, refusal, type Request, scriptedStore, xml } from "../../../helpers/scripted-store.ts";

const until = Date.parse("2026-12-26T00:00:00Z");
const unlocked = refusal(404, "NoSuchObjectLockConfiguration");

interface LockingStore {
  readonly locks: ObjectLocks;
  /** `METHOD /path?query`, without what the client adds for itself. */
  readonly lines: () => string[];
  readonly requests: Request[];
}

async function lockingStore(
  answer: (request: Request) => Answer,
  { mode = "compliance", ...options }: { mode?: LockMode } & Partial<S3StorageOptions> = {},
): Promise<LockingStore> {
  const { address, requests } = await scriptedStore(answer);
  const { locks } = new S3Storage({ address: { ...address, objectLock: mode }, ...options });
  if (locks === undefined) throw new Error("opened without locks");
  const lines = (): string[] => requests.map(({ line }) => line.replaceAll(/[?&]x-id=\w+|(?<=retention)=(?=&|$)/g, ""));
  return { locks, lines, requests };
}

function retention(time: string): Answer {
  return xml("Retention", `<Mode>COMPLIANCE</Mode><RetainUntilDate>${time}</RetainUntilDate>`);
}

/** A store that puts version `v2` and then says this of its lock. */
function putting(lock: Answer): (request: Request) => Answer {
  return ({ line }) => {
    if (!line.includes("retention")) return { headers: { etag: '"e"', "x-amz-version-id": "v2" } };
    return line.startsWith("GET") ? lock : {};
  };
}

describe.each([
  ["governance", "GOVERNANCE"],
  ["compliance", "COMPLIANCE"],
] as const)("a locked put (%s)", (mode, written) => {
  test("asks for the lock with the content, proves the content, and looks whether it is locked", async () => {
    const { locks, lines, requests } = await lockingStore(putting(retention("2026-12-26T00:00:00Z")), { mode });
    const data = Buffer.from("content");
    expect(await locks.put("packs/a", [data], until)).toBe("v2");
    expect(requests[0]?.headers).toMatchObject({
      "x-amz-object-lock-mode": written,
      "x-amz-object-lock-retain-until-date": "2026-12-26T00:00:00Z",
      "content-md5": createHash("md5").update(data).digest("base64"),
    });
    expect(lines()).toEqual(["PUT /bucket/host/packs/a", "GET /bucket/host/packs/a?retention&versionId=v2"]);
  });

  test.each([
    ["isn't there", unlocked],
    ["isn't there, as Ceph says it", refusal(404, "ObjectLockConfigurationNotFoundError")],
    ["ends too early", retention("2026-12-25T23:59:59Z")],
  ])("whose lock %s locks that version", async (_, lock) => {
    const { locks, lines, requests } = await lockingStore(putting(lock), { mode });
    await locks.put("packs/a", [Buffer.from("content")], until);
    expect(lines().at(-1)).toBe("PUT /bucket/host/packs/a?retention&versionId=v2");
    const wanted = `<Mode>${written}</Mode><RetainUntilDate>2026-12-26T00:00:00Z</RetainUntilDate>`;
    expect(requests.at(-1)?.body.toString()).toContain(wanted);
  });
});

test("what is sent in parts is asked to be locked, too", async () => {
  const { locks, requests } = await lockingStore(
    ({ line }) => {
      if (/^POST .*uploads/.test(line)) return xml("InitiateMultipartUploadResult", "<UploadId>u1</UploadId>");
      if (line.startsWith("POST"))
        return { ...xml("CompleteMultipartUploadResult", "<ETag>e</ETag>"), headers: { "x-amz-version-id": "v2" } };
      return putting(retention("2026-12-26T00:00:00Z"))({ line, headers: {}, body: Buffer.alloc(0) });
    },
    { sizes: { single: 10, part: 10 } },
  );
  expect(await locks.put("packs/a", [Buffer.alloc(25)], until)).toBe("v2");
  const begun = requests.find(({ line }) => /^POST .*uploads/.test(line));
  expect(begun?.headers).toMatchObject({
    "x-amz-object-lock-mode": "COMPLIANCE",
    "x-amz-object-lock-retain-until-date": "2026-12-26T00:00:00Z",
  });
});

test.each([
  ["none", {}],
  ["null", { "x-amz-version-id": "null" }],
])("a put that makes no version (%s) has locked nothing, and fails", async (_, headers) => {
  const { locks } = await lockingStore(() => ({ headers: { etag: '"e"', ...headers } }));
  const error = await rejection(locks.put("a", [], until));
  expect(error).toMatchObject({ code: "storage_denied", message: expect.stringContaining("keeps no versions") });
});

test("a lock that lasts longer is left as it is", async () => {
  const { locks, lines } = await lockingStore(() => retention("2026-12-26T00:00:01Z"));
  await locks.extend("a", "v1", until);
  expect(lines()).toEqual(["GET /bucket/host/a?retention&versionId=v1"]);
});

test("a version is read, and asked for its lock, by its id", async () => {
  const { locks, lines } = await lockingStore(({ line }) =>
    line.includes("retention") ? unlocked : { headers: { "content-length": "7" }, body: "content" },
  );
  expect((await locks.get("a", "v1")).toString()).toBe("content");
  expect(await locks.lockedUntil("a", "v1")).toBeUndefined();
  expect(lines()).toEqual(["GET /bucket/host/a?versionId=v1", "GET /bucket/host/a?retention&versionId=v1"]);
});

describe("bringing back", () => {
  const copied = xml("CopyObjectResult", '<ETag>"e"</ETag>');
  const store =
    (newest: Readonly<Record<string, string>>, answered: Readonly<Record<string, string>> = {}) =>
    ({ line }: Request): Answer => {
      if (line.startsWith("HEAD")) return { headers: newest };
      if (line.includes("retention")) return line.startsWith("GET") ? unlocked : {};
      return { ...copied, headers: { ...copied.headers, ...answered } };
    };

  test.each([
    ["as the store names it", { "x-amz-version-id": "v3" }, {}],
    [
      "the newest, where the store doesn't, if it has the copy's content",
      {},
      { "x-amz-version-id": "v3", etag: '"e"' },
    ],
  ])("copies that version over the object, and locks the new one: %s", async (_, answered, newest) => {
    const { locks, lines, requests } = await lockingStore(store(newest, answered));
    expect(await locks.restore("a", "v1+/", until)).toBe("v3");
    expect(requests[0]?.headers).toMatchObject({
      "x-amz-copy-source": "bucket/host/a?versionId=v1%2B%2F",
      "x-amz-object-lock-mode": "COMPLIANCE",
      "x-amz-object-lock-retain-until-date": "2026-12-26T00:00:00Z",
    });
    expect(lines().slice(-2)).toEqual([
      "GET /bucket/host/a?retention&versionId=v3",
      "PUT /bucket/host/a?retention&versionId=v3",
    ]);
  });

  test("takes nothing that was put at the same moment for the copy", async () => {
    const { locks } = await lockingStore(store({ "x-amz-version-id": "v4", etag: '"other"' }));
    const error = await rejection(locks.restore("a", "v1", until));
    expect(error).toMatchObject({ code: "storage_failed", message: expect.stringContaining("same moment") });
  });
});

describe("a listing of versions", () => {
  const facts = (key: string, id: string): string =>
    `<Key>${key}</Key><VersionId>${id}</VersionId><IsLatest>true</IsLatest><LastModified>2026-11-22T15:00:00.789Z</LastModified>`;
  const version = (key: string, id: string): string =>
    `<Version>${facts(key, id)}<Size>3</Size><ETag>"e"</ETag></Version>`;
  const page = (content: string): Answer => xml("ListVersionsResult", content);
  const next =
    "<IsTruncated>true</IsTruncated><NextKeyMarker>host/a</NextKeyMarker><NextVersionIdMarker>v1</NextVersionIdMarker>";

  test("goes on where the store says, with markers, and leaves out what can't be an object", async () => {
    const strangers = ["host/", "host/ö", "other/c"].map((key) => version(key, "v9")).join("");
    const { locks, lines } = await lockingStore(({ line }) =>
      line.includes("key-marker")
        ? page(`<IsTruncated>false</IsTruncated><DeleteMarker>${facts("host/b", "m1")}</DeleteMarker>`)
        : page(`${next}${version("host/a", "v1")}${strangers}`),
    );
    const time = Date.parse("2026-11-22T15:00:00Z");
    expect(await collect(locks.versions(""))).toEqual([
      { name: "a", version: "v1", current: true, marker: false, size: 3, etag: '"e"', time },
      { name: "b", version: "m1", current: true, marker: true, size: 0, etag: "", time },
    ]);
    expect(lines()[1]).toMatch(/key-marker=host%2Fa&.*version-id-marker=v1/);
  });

  test.each([
    ["says nothing about its end", version("host/a", "v1")],
    ["isn't the last, and doesn't say how to go on", `<IsTruncated>true</IsTruncated>${version("host/a", "v1")}`],
    ["turns in circles", `${next}${version("host/a", "v1")}`],
    ["lacks a version's id", `<IsTruncated>false</IsTruncated><Version><Key>host/a</Key></Version>`],
  ])("that %s fails instead of ending early", async (_, content) => {
    const { locks } = await lockingStore(() => page(content));
    expect(await rejection(collect(locks.versions("")))).toMatchObject({ code: "storage_failed", retryable: true });
  });
});

describe("the question whether a bucket locks", () => {
  const enabled = xml("ObjectLockConfiguration", "<ObjectLockEnabled>Enabled</ObjectLockEnabled>");
  const at = (date: string): Answer => ({ ...enabled, headers: { ...enabled.headers, date } });

  test("is answered with the store's own time", async () => {
    const { locks } = await lockingStore(() => at("Sun, 22 Nov 2020 15:00:00 GMT"));
    expect(await locks.require()).toBe(Date.UTC(2020, 10, 22, 15));
  });

  test("isn't, by a store that doesn't tell the time: locks are measured by nobody else's", async () => {
    const { locks } = await lockingStore(() => at("some day"));
    expect(await rejection(locks.require())).toMatchObject({ code: "storage_failed" });
  });

  test("that may not be asked says nothing about locks", async () => {
    const { locks } = await lockingStore(() => refusal(403, "AccessDenied"));
    const error = await rejection(locks.require());
    expect(error).toMatchObject({ code: "storage_denied", message: expect.stringContaining("AccessDenied (403)") });
  });
});
