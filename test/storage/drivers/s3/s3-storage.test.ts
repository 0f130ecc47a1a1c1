/** What a real store can't be made to do; the rest is in test/e2e/s3-storage.test.ts. */
import { createHash, randomBytes } from "node:crypto";
import dns, { type LookupAddress } from "node:dns";
import { writeFile } from "node:fs/promises";
import { inspect } from "node:util";
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import type { ErrorCode } from "../../../../src/errors.ts";
import { S3Storage } from "../../../../src/storage/drivers/s3/s3-storage.ts";
import { collect } from "../../../helpers/collect.ts";
import { FaultProxy } from "../../../helpers/fault-proxy.ts";
import { rejection } from "../../../helpers/rejection.ts";
import { type Answer, refusal, scriptedStore, xml } from "../../../helpers/scripted-store.ts";
import { ManualClock } from "../../../helpers/manual-clock.ts";
import { tempDir } from "../../../helpers/temp-dir.ts";
import {
  badCertificates,
  strangersCertificate,
  testCertificate,
  testCertificateKey,
} from "../../../helpers/test-certificate.ts";

describe("what a store's refusal means", () => {
  test.each<[number, string, ErrorCode, boolean]>([
    [403, "AccessDenied", "storage_denied", false],
    [403, "InvalidAccessKeyId", "storage_denied", false],
    [403, "RequestTimeTooSkewed", "storage_denied", false],
    [400, "ExpiredToken", "storage_denied", false],
    [401, "Unauthorized", "storage_denied", false],
    [403, "QuotaExceeded", "storage_full", false],
    [507, "XMinioStorageFull", "storage_full", false],
    [400, "BadDigest", "storage_failed", true],
    [400, "RequestTimeout", "storage_failed", true],
    [409, "OperationAborted", "storage_failed", true],
    [429, "TooManyRequests", "storage_failed", true],
    [500, "InternalError", "storage_failed", true],
    [501, "NotImplemented", "storage_failed", false],
    [503, "SlowDown", "storage_failed", true],
    [404, "NoSuchBucket", "storage_unreachable", true],
    [301, "PermanentRedirect", "storage_failed", false],
    [400, "AuthorizationHeaderMalformed", "storage_failed", false],
    [405, "MethodNotAllowed", "storage_failed", false],
  ])("%i %s", async (status, name, code, retryable) => {
    const { storage } = await scriptedStore(() => refusal(status, name));
    const error = await rejection(storage.put("a", [Buffer.from("x")]));
    expect(error).toMatchObject({ code, retryable, message: expect.stringContaining(`${name} (${status})`) });
  });

  test("an answer without a body is asked for again with one", async () => {
    const { storage } = await scriptedStore(() => refusal(403, "SignatureDoesNotMatch"));
    const error = await rejection(storage.stat("a"));
    expect(error).toMatchObject({ code: "storage_denied", retryable: false });
    expect(error.message).toContain("SignatureDoesNotMatch (403)");
    expect(error.message).toContain("Look at the secret key");
  });

  test("whoever may read and not look is told what the look was answered", async () => {
    const { storage } = await scriptedStore(({ line }) => (line.startsWith("HEAD") ? { status: 403 } : { body: "x" }));
    expect(await rejection(storage.stat("a"))).toMatchObject({
      code: "storage_denied",
      message: expect.stringContaining("the store answered 403"),
    });
  });

  test("what can't be read in it is told without it, and nothing secret ever", async () => {
    const { storage } = await scriptedStore(() => refusal(500, "\u001b[2Jhidden code!"));
    const error = await rejection(storage.get("a"));
    expect(error).toMatchObject({ code: "storage_failed", retryable: true });
    expect(error.message).toContain("an error without a name (500)");
    expect(inspect(error, { depth: 9, showHidden: true })).not.toMatch(/hidden\n|Signature=|AWS4-HMAC/);
  });
});

test("a refusal that has no body, as HEAD gets it, is told by its status", async () => {
  const { storage } = await scriptedStore(() => ({ status: 403 }));
  const error = await rejection(storage.stat("a"));
  expect(error).toMatchObject({ code: "storage_denied", message: expect.stringContaining("the store answered 403.") });
});

test.each([
  ["cut", 60_000, "the connection was cut (ECONNRESET)"],
  ["hang", 100, "the store didn't answer in time"],
] as const)("a connection that ends by %s is told as that", async (kind, idle, told) => {
  const { address } = await scriptedStore(() => ({}));
  await using proxy = new FaultProxy(address.endpoint ?? "");
  const endpoint = await proxy.start();
  proxy.next(/^PUT/, { kind });
  const patience = { connect: 60_000, idle };
  const error = await rejection(new S3Storage({ address: { ...address, endpoint }, patience }).put("a", []));
  expect(error).toMatchObject({ code: "storage_unreachable", retryable: true });
  expect(error.message).toContain(`Cannot store a in far: ${told}. `);
});

test("a store that can't be found in time is told as that", async () => {
  const { address } = await scriptedStore(() => ({}));
  const lookup = vi.spyOn(dns, "lookup").mockImplementation(() => undefined);
  onTestFinished(() => lookup.mockRestore());
  const far = { ...address, endpoint: "http://store.test" };
  const storage = new S3Storage({ address: far, patience: { connect: 100, idle: 60_000 } });
  const error = await rejection(storage.get("a"));
  expect(error).toMatchObject({ code: "storage_unreachable", retryable: true });
  expect(error.message).toContain("the store didn't answer in time");
});

test.each<[string, Answer]>([
  ["a listing", xml("ListBucketResult", "<IsTruncated>false</IsTruncated><Name>bucket</Name>")],
  ["501", refusal(501, "NotImplemented")],
  ["404", refusal(404, "ObjectLockConfigurationNotFoundError")],
])("a store that is asked for Object Lock and answers with %s has none", async (_, answer) => {
  const { address, requests } = await scriptedStore(() => answer);
  const { locks } = new S3Storage({ address: { ...address, objectLock: "compliance" } });
  const error = await rejection(locks?.require() ?? Promise.resolve());
  expect(error).toMatchObject({ code: "storage_denied", message: expect.stringContaining("has no Object Lock") });
  expect(requests.map(({ line }) => line)).toEqual([expect.stringMatching(/^GET \/bucket\/?\?object-lock/)]);
});

test("what comes from a store is told, piece by piece, and a refusal isn't", async () => {
  let told = 0;
  let answer: Answer = refusal(503, "SlowDown");
  const { storage } = await scriptedStore(() => answer, { moved: () => (told += 1) });
  await rejection(storage.get("a"));
  expect(told).toBe(0);
  answer = { headers: { "content-length": "1000000" }, body: Buffer.alloc(1_000_000) };
  await storage.get("a");
  expect(told).toBeGreaterThan(2);
});

test("each request is signed over its content, and asks for nothing conditional", async () => {
  const { storage, requests } = await scriptedStore(() => ({ headers: { etag: '"x"' } }));
  const data = Buffer.from("content");
  await storage.put("packs/ab/one", [data.subarray(0, 3), data.subarray(3)]);
  const [put] = requests;
  expect(put?.line).toMatch(/^PUT \/bucket\/host\/packs\/ab\/one/);
  expect(put?.body.equals(data)).toBe(true);
  expect(put?.headers).toMatchObject({
    "x-amz-content-sha256": createHash("sha256").update(data).digest("hex"),
    authorization: expect.stringContaining("Credential=AKIA/"),
  });
  for (const name of Object.keys(put?.headers ?? {}))
    expect(name).not.toMatch(/^if-|expect|x-amz-(checksum|sdk-checksum)/);
});

describe("a listing", () => {
  const object = (key: string): string =>
    `<Contents><Key>${key}</Key><Size>3</Size><LastModified>2026-11-22T15:00:00.789Z</LastModified></Contents>`;

  test("goes on where the store says, and leaves out what can't be an object", async () => {
    const { storage, requests } = await scriptedStore(({ line }) =>
      line.includes("continuation-token")
        ? xml("ListBucketResult", `<IsTruncated>false</IsTruncated>${object("host/b")}`)
        : xml(
            "ListBucketResult",
            `<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>${["host/a", "host/", "host/tmp/x", "host/ö", "other/c"].map(object).join("")}`,
          ),
    );
    const time = Date.parse("2026-11-22T15:00:00Z");
    expect(await collect(storage.list(""))).toEqual(["a", "b"].map((name) => ({ name, size: 3, time })));
    expect(requests).toHaveLength(2);
  });

  test.each([
    ["says nothing about its end", object("host/a")],
    ["isn't the last, and has no token", `<IsTruncated>true</IsTruncated>${object("host/a")}`],
  ])("that %s fails instead of ending early", async (_, content) => {
    const { storage } = await scriptedStore(() => xml("ListBucketResult", content));
    expect(await rejection(collect(storage.list("")))).toMatchObject({ code: "storage_failed", retryable: true });
  });

  test("of folders goes on, too", async () => {
    const folder = (name: string): string => `<CommonPrefixes><Prefix>host/${name}/</Prefix></CommonPrefixes>`;
    const { storage } = await scriptedStore(({ line }) =>
      line.includes("continuation-token")
        ? xml("ListBucketResult", `<IsTruncated>false</IsTruncated>${folder("web2")}`)
        : xml(
            "ListBucketResult",
            `<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>${folder("web1")}`,
          ),
    );
    expect(await storage.listFolders()).toEqual(["web1", "web2"]);
  });

  test("that turns in circles fails", async () => {
    const again = "<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>";
    const { storage } = await scriptedStore(() => xml("ListBucketResult", again));
    expect(await rejection(collect(storage.list("")))).toMatchObject({ code: "storage_failed" });
  });

  test.each<[string, Answer]>([
    ["a web page", { headers: { "content-type": "text/html" }, body: "<html><body>Sign in</body></html>" }],
    ["nothing", {}],
    ["half of it", { body: "<ListBucketResult><IsTruncated>fal" }],
  ])("answered with %s fails", async (_, answer) => {
    const { storage } = await scriptedStore(() => answer);
    expect(await rejection(collect(storage.list("")))).toMatchObject({ code: "storage_failed" });
  });
});

describe("reading a range", () => {
  const range = { offset: 2, length: 3 };

  test.each<[string, Answer]>([
    ["the whole object", { status: 200, body: "0123456789" }],
    ["another range", { status: 206, headers: { "content-range": "bytes 0-2/10" }, body: "012" }],
    ["less than it says", { status: 206, headers: { "content-range": "bytes 2-4/10" }, body: "23" }],
    ["a refusal", refusal(416, "InvalidRange")],
  ])("answered with %s fails", async (_, answer) => {
    const { storage } = await scriptedStore(() => answer);
    expect(await rejection(storage.get("a", range))).toMatchObject({ code: "storage_failed", retryable: false });
  });
});

test("a long range is read in parts, side by side", async () => {
  const content = randomBytes(20 * 1024 * 1024);
  const { storage, requests } = await scriptedStore(({ headers }) => {
    const [, from = "", to = ""] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? "") ?? [];
    const body = content.subarray(Number(from), Number(to) + 1);
    const answered = { "content-range": `bytes ${from}-${to}/${content.length}`, "content-length": `${body.length}` };
    return { status: 206, headers: answered, body };
  });
  const [offset, length] = [1000, 17 * 1024 * 1024];
  const data = await storage.get("a", { offset, length });
  expect(data.equals(content.subarray(offset, offset + length))).toBe(true);
  expect(requests.map(({ headers }) => headers.range ?? "").toSorted()).toEqual(
    [
      [1000, 8389607],
      [16778216, 17826791],
      [8389608, 16778215],
    ].map(([from = 0, to = 0]) => `bytes=${from}-${to}`),
  );
});

test("a long read that fails has ended: none of its parts comes later", async () => {
  const half = 8 * 1024 * 1024;
  const refused = Promise.withResolvers<undefined>();
  const { storage } = await scriptedStore(async ({ headers }) => {
    if (headers.range?.startsWith("bytes=0-") === true) {
      refused.resolve(undefined);
      return refusal(500, "InternalError");
    }
    await refused.promise;
    const range = `bytes ${String(half)}-${String(2 * half - 1)}/${String(2 * half)}`;
    return {
      status: 206,
      headers: { "content-range": range, "content-length": String(half) },
      body: Buffer.alloc(half, "x"),
    };
  });
  const into = Buffer.from(new SharedArrayBuffer(2 * half));
  const error = await rejection(storage.get("a", { offset: 0, length: into.length }, { into }));
  expect(error).toMatchObject({ code: "storage_failed", retryable: true });
  expect(into.at(-1)).toBe("x".charCodeAt(0));
});

describe("sending in parts", () => {
  const sizes = { single: 10, part: 10 };
  const begun = xml("InitiateMultipartUploadResult", "<UploadId>u1</UploadId>");

  function store(complete: Answer, old = ""): (request: { line: string }) => Answer {
    return ({ line }) => {
      if (/^GET .*uploads/.test(line))
        return old === "" ? refusal(403, "AccessDenied") : xml("ListMultipartUploadsResult", old);
      if (/^POST .*uploads/.test(line)) return begun;
      if (line.startsWith("POST")) return complete;
      return { status: line.startsWith("DELETE") ? 204 : 200, headers: { etag: '"e"' } };
    };
  }

  test("a success that turns out to be an error isn't a success, and clears up", async () => {
    const { storage, requests } = await scriptedStore(store({ ...refusal(200, "InternalError") }), { sizes });
    expect(await rejection(storage.put("a", [randomBytes(25)]))).toMatchObject({
      code: "storage_failed",
      retryable: true,
    });
    const parts = requests.filter(({ line }) => line.includes("partNumber=")).map(({ body }) => body.length);
    expect(parts.toSorted((x, y) => x - y)).toEqual([5, 10, 10]);
    expect(requests.at(-1)?.line).toMatch(/^DELETE .*uploadId=u1/);
  });

  test("what killed processes left is removed when it is a day old, once; other uploads stay", async () => {
    const clock = new ManualClock();
    const upload = (id: string, age: number): string =>
      `<Upload><Key>host/${id}</Key><UploadId>${id}</UploadId><Initiated>${new Date(clock.now() - age).toISOString()}</Initiated></Upload>`;
    const old = upload("dead", 25 * 3_600_000) + upload("alive", 23 * 3_600_000);
    const done = xml("CompleteMultipartUploadResult", "<ETag>e</ETag>");
    const { storage, requests } = await scriptedStore(store(done, old), { sizes, clock });
    await storage.put("a", [randomBytes(25)]);
    await storage.put("b", [randomBytes(25)]);
    const lines = requests.map(({ line }) => line);
    expect(lines.filter((line) => line.startsWith("DELETE"))).toEqual([expect.stringContaining("uploadId=dead")]);
    expect(lines.filter((line) => /^GET .*uploads/.test(line))).toHaveLength(1);
  });
});

describe("a store with a certificate of one's own", () => {
  /** What a put to a store with this certificate ends with, where `ca_file` has that content. */
  async function putTo(certificate: string, authorities?: string): Promise<unknown> {
    const { address } = await scriptedStore(() => ({ headers: { etag: '"x"' } }), { certificate });
    const caFile = authorities === undefined ? undefined : `${await tempDir()}/ca.pem`;
    if (caFile !== undefined) await writeFile(caFile, authorities ?? "");
    return await new S3Storage({ address: { ...address, caFile } }).put("a", [Buffer.from("x")]);
  }

  test("is trusted when the file of authorities has it, among others", async () => {
    await expect(putTo(testCertificate, testCertificate)).resolves.toBeUndefined();
    const several = `# ours\r\n${strangersCertificate}\n${testCertificate.replaceAll("\n", "\r\n")}`;
    await expect(putTo(testCertificate, several)).resolves.toBeUndefined();
  });

  test.each([
    ["without a file of authorities", testCertificate, undefined, /DEPTH_ZERO_SELF_SIGNED_CERT.*`ca_file`/],
    ["with another authority", testCertificate, strangersCertificate, /DEPTH_ZERO_SELF_SIGNED_CERT.*`ca_file`/],
    ["signed by another authority", badCertificates.misnamed, strangersCertificate, /UNABLE_TO_VERIFY.*`ca_file`/],
    ["that has expired", badCertificates.expired, testCertificate, /CERT_HAS_EXPIRED.*renewed.*clock/],
    ["that isn't valid yet", badCertificates.early, testCertificate, /CERT_NOT_YET_VALID.*clock/],
    ["with another name", badCertificates.misnamed, testCertificate, /ERR_TLS_CERT_ALTNAME_INVALID.*name/],
    ["with a key for authorities", testCertificate, testCertificateKey, /ca\.pem: it holds no certificate/],
    ["with an empty file of authorities", testCertificate, "", /ca\.pem: it holds no certificate/],
    [
      "with a damaged authority",
      testCertificate,
      testCertificate.replace("MII", "MIJ"),
      /certificate in it is damaged/,
    ],
  ])("isn't trusted %s, which no further try would change", async (_, certificate, authorities, message) => {
    const error = await rejection(putTo(certificate, authorities));
    expect(error).toMatchObject({ code: "storage_unreachable", retryable: false });
    expect(error.message).toMatch(message);
  });

  test("whose file of authorities isn't there fails, and the file is named", async () => {
    const { address } = await scriptedStore(() => ({}), { certificate: testCertificate });
    const error = await rejection(new S3Storage({ address: { ...address, caFile: "/nowhere/ca.pem" } }).get("a"));
    expect(error).toMatchObject({ code: "storage_unreachable", retryable: false });
    expect(error.message).toContain("/nowhere/ca.pem");
  });
});

test("an access key that was exchanged is taken up without a restart", async () => {
  const clock = new ManualClock();
  const { storage, requests, address } = await scriptedStore(() => ({ headers: { etag: '"x"' } }), { clock });
  if (address.credentials.kind !== "file") throw new Error("not a file");
  await storage.put("a", []);
  await writeFile(address.credentials.path, "aws_access_key_id = NEXT\naws_secret_access_key = other\n");
  await storage.put("a", []);
  await expect
    .poll(async () => {
      await storage.put("a", []);
      return requests.at(-1)?.headers.authorization;
    })
    .toContain("Credential=NEXT/");
});

describe("without a setting for it", () => {
  beforeEach(() => {
    for (const name of ["AWS_PROFILE", "AWS_SESSION_TOKEN"]) vi.stubEnv(name, undefined);
  });
  afterEach(() => void vi.unstubAllEnvs());

  const origins: [string, (folder: string) => Promise<Record<string, string>>][] = [
    ["the environment", async () => await Promise.resolve({ AWS_ACCESS_KEY_ID: "FOUND", AWS_SECRET_ACCESS_KEY: "x" })],
    [
      "the file of AWS's programs",
      async (folder) => {
        await writeFile(`${folder}/key`, "[default]\naws_access_key_id = FOUND\naws_secret_access_key = x\n");
        return { AWS_SHARED_CREDENTIALS_FILE: `${folder}/key`, AWS_CONFIG_FILE: `${folder}/none` };
      },
    ],
  ];
  test.each(origins)("the access key comes from %s", async (_, prepare) => {
    for (const name of ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]) vi.stubEnv(name, undefined);
    for (const [name, value] of Object.entries(await prepare(await tempDir()))) vi.stubEnv(name, value);
    const { address, requests } = await scriptedStore(() => ({ headers: { etag: '"x"' } }));
    await new S3Storage({ address: { ...address, credentials: { kind: "chain" } } }).put("a", []);
    expect(requests[0]?.headers.authorization).toContain("Credential=FOUND/");
  });

  test("it is AWS's own store, and its checksums go with what is put", async () => {
    const { address, requests } = await scriptedStore(() => ({ headers: { etag: '"x"' } }));
    vi.stubEnv("AWS_ENDPOINT_URL_S3", address.endpoint);
    await new S3Storage({ address: { ...address, endpoint: undefined } }).put("a", [Buffer.from("content")]);
    expect(requests[0]?.headers["x-amz-checksum-crc32"]).toBe("/sUwqQ==");
  });
});

test("a bucket is named in the path or, where that is wanted, in the host's name", async () => {
  const { address, requests } = await scriptedStore(() => ({ headers: { etag: '"x"' } }));
  const { port } = new URL(address.endpoint ?? "");
  const endpoint = `http://store.test:${port}`;
  const found = (...[, , tell]: [string, object, Tell]): void => tell(null, [{ address: "127.0.0.1", family: 4 }]);
  const lookup = vi.spyOn(dns, "lookup").mockImplementation(found as unknown as typeof dns.lookup);
  onTestFinished(() => lookup.mockRestore());
  for (const pathStyle of [true, false])
    await new S3Storage({ address: { ...address, endpoint, pathStyle } }).put("a", []);
  expect(requests.map(({ line, headers }) => `${headers.host ?? ""} ${line.replace(/\?.*/, "")}`)).toEqual([
    `store.test:${port} PUT /bucket/host/a`,
    `bucket.store.test:${port} PUT /host/a`,
  ]);
});

/** As an HTTP agent is told all addresses of a name. */
type Tell = (error: null, addresses: readonly LookupAddress[]) => void;
