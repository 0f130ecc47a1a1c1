/** The least rights that docs/offsite.md gives a host's key, taken from there: enough to replicate, and not to delete. */
import { PutBucketPolicyCommand } from "@aws-sdk/client-s3";
import { randomBytes } from "node:crypto";
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { S3Storage } from "../../src/storage/drivers/s3/s3-storage.ts";
import { Ceph } from "../helpers/ceph.ts";
import { collect } from "../helpers/collect.ts";
import { rejection } from "../helpers/rejection.ts";
import { Host, project } from "./host.ts";

let ceph: Ceph;

beforeAll(async () => {
  ceph = await Ceph.start();
  for (const user of ["host", "keeper"]) await ceph.makeUser(user);
  await ceph.makeBucket("recovery");
  const Statement = [...documentedStatements("host", 0), ...documentedStatements("keeper", 1)];
  const Policy = JSON.stringify({ Version: "2012-10-17", Statement });
  const client = ceph.client();
  await client.send(new PutBucketPolicyCommand({ Bucket: "recovery", Policy }));
  client.destroy();
}, 300_000);
afterAll(async () => await ceph.stop());

/** The policies of the page, in their order: the host's key, and that of the machine which prunes. */
function documentedStatements(user: string, number: number): object[] {
  const page = readFileSync(join(project, "docs/offsite.md"), "utf8");
  const text = [...page.matchAll(/```json\n([^]*?)```/g)][number]?.[1] ?? "";
  const { Statement } = JSON.parse(text) as { Statement: object[] };
  return Statement.map((one) => ({ ...one, Principal: { AWS: [`arn:aws:iam:::user/${user}`] } }));
}

test("a key with the documented rights stores, reads and lists under its prefix, and can do nothing else", async () => {
  const where = {
    endpoint: ceph.endpoint,
    region: "us-east-1",
    bucket: "recovery",
    pathStyle: true,
    caFile: undefined,
  };
  const open = (prefix: string, accessKey: string): S3Storage => {
    const path = ceph.writeCredentials(join(ceph.folder, accessKey), accessKey);
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

test("a host with these rights replicates; its replica is pruned and swept from another machine", () => {
  const host = new Host();
  onTestFinished(() => host.remove());
  host.set({ replicas: ["far"] });
  const text = readFileSync(host.config, "utf8").replace("keep: { last: 10 }", "keep: { last: 3 }");
  const configFor = (accessKey: string, more: string): string => {
    const credentials = ceph.writeCredentials(join(ceph.folder, accessKey), accessKey);
    const place = `s3: { endpoint: "${ceph.endpoint}", bucket: recovery, prefix: web1/host, credentials_file: ${credentials} }`;
    return text.replace("far: { path: far }", `far: { ${place}${more} }`);
  };
  writeFileSync(host.config, configFor("host", ", append_only: true"));
  for (let n = 0; n < 4; n++) {
    writeFileSync(host.path("data/hello.txt"), `hello ${String(n)}\n`);
    expect(host.run("run", "all")).toMatchObject({ status: 0, stderr: "" });
  }
  const list = (): { source: string }[] => host.json("list", "--location", "far") as { source: string }[];
  // Pruned at the primary only.
  expect(list()).toHaveLength(12);
  expect(host.run("prune", "--location", "far").stdout).toContain("FAILED");

  const elsewhere = new Host();
  onTestFinished(() => elsewhere.remove());
  copyFileSync(host.key, elsewhere.key);
  writeFileSync(elsewhere.config, configFor("keeper", ""));
  const pruned = elsewhere.run("prune", "--location", "far");
  expect(pruned).toMatchObject({ status: 0, stderr: "" });
  expect(pruned.stdout.match(/3 recovery points kept, 1 forgotten/g)).toHaveLength(3);
  expect(elsewhere.run("sweep", "--location", "far")).toMatchObject({ status: 0 });
  expect(list()).toHaveLength(9);
  expect(host.json("check", "--location", "far", "--read-data")).toMatchObject({ findings: [] });
  expect(host.run("run", "all")).toMatchObject({ status: 0, stderr: "" });
}, 300_000);
