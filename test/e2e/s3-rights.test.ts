/** The least rights that docs/offsite.md gives a host's key, taken from there: enough to replicate, and not to delete. */
import { PutBucketPolicyCommand } from "@aws-sdk/client-s3";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { S3Storage } from "../../src/storage/drivers/s3/s3-storage.ts";
import { Ceph } from "../helpers/ceph.ts";
import { collect } from "../helpers/collect.ts";
import { rejection } from "../helpers/rejection.ts";
import { project } from "./host.ts";

let ceph: Ceph;

beforeAll(async () => {
  ceph = await Ceph.start();
  await ceph.makeUser("host");
  await ceph.makeBucket("recovery");
}, 300_000);
afterAll(async () => await ceph.stop());

function documentedPolicy(): { Version: string; Statement: object[] } {
  const page = readFileSync(join(project, "docs/offsite.md"), "utf8");
  const text = /```json\n([^]*?)```/.exec(page)?.[1] ?? "";
  return JSON.parse(text) as ReturnType<typeof documentedPolicy>;
}

test("a key with the documented rights stores, reads and lists under its prefix, and can do nothing else", async () => {
  const { Version, Statement } = documentedPolicy();
  const Principal = { AWS: ["arn:aws:iam:::user/host"] };
  const Policy = JSON.stringify({ Version, Statement: Statement.map((one) => ({ ...one, Principal })) });
  const client = ceph.client();
  await client.send(new PutBucketPolicyCommand({ Bucket: "recovery", Policy }));
  client.destroy();

  const open = (prefix: string, accessKey: string): S3Storage => {
    const path = ceph.writeCredentials(join(ceph.folder, accessKey), accessKey);
    const where = {
      endpoint: ceph.endpoint,
      region: "us-east-1",
      bucket: "recovery",
      pathStyle: true,
      caFile: undefined,
    };
    const address = { kind: "s3", location: "far", prefix, ...where, credentials: { kind: "file", path } } as const;
    return new S3Storage({ address, sizes: { single: 1000, part: 60_000 } });
  };
  const host = open("web1/", "host");
  await host.requireBucket();
  const data = randomBytes(100_000);
  await host.put("packs/a", [data]);
  await host.put("format", [Buffer.from("1")]);
  expect((await host.get("packs/a", { offset: 5, length: 10 })).equals(data.subarray(5, 15))).toBe(true);
  expect(await host.stat("format")).toMatchObject({ size: 1 });
  expect(await collect(host.list(""))).toHaveLength(2);
  expect(await rejection(host.get("missing"))).toMatchObject({ code: "object_missing" });
  expect(await rejection(host.delete("format"))).toMatchObject({ code: "storage_denied" });
  expect(await rejection(open("web2/", "host").put("format", []))).toMatchObject({ code: "storage_denied" });
  await open("web1/", ceph.accessKey).delete("format");
});
