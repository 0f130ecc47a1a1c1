/** OpenStack Swift as a replica: another engine than Ceph, with its own idea of S3, by HTTPS, and without Object Lock. */
import { CreateMultipartUploadCommand, ListMultipartUploadsCommand } from "@aws-sdk/client-s3";
import { randomBytes } from "node:crypto";
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { beforeAll, expect, onTestFinished, test } from "vitest";
import { S3Storage } from "../../src/storage/drivers/s3/s3-storage.ts";
import type { S3Address } from "../../src/storage/storage.ts";
import { storageContract } from "../contract/storage-contract.ts";
import { collect } from "../helpers/collect.ts";
import { describeTree } from "../helpers/describe-tree.ts";
import { ManualClock } from "../helpers/manual-clock.ts";
import { rejection } from "../helpers/rejection.ts";
import { Swift } from "../helpers/swift.ts";
import { Host, stillpoint } from "./host.ts";

let swift: Swift;
let made = 0;

beforeAll(async () => {
  swift = await Swift.start();
  await swift.makeBucket("plain");
  await swift.makeBucket("versions", "versions");
  return async () => await swift.stop();
});

/** A new, empty place in a bucket. */
function place(bucket = "plain"): S3Address {
  return swift.address(bucket, `host${++made}/`);
}

/** So that small objects go in parts too. */
const small = { single: 1000, part: 60_000 };

/** Swift answers 503 to a writer when a later one of the same name is done before it (its object servers' 409). */
const peculiarities = { refusesRacers: true };

storageContract("s3 on Swift", async () => new S3Storage({ address: place() }), peculiarities);
storageContract(
  "s3 on Swift, in parts, with versions, by HTTPS",
  async () => {
    const address = { ...place("versions"), endpoint: swift.secureEndpoint, caFile: swift.caFile };
    return new S3Storage({ address, sizes: small });
  },
  peculiarities,
);

test("an upload that a killed process left is removed when it is a day old", async () => {
  const address = place();
  const client = swift.client();
  onTestFinished(() => client.destroy());
  await client.send(new CreateMultipartUploadCommand({ Bucket: "plain", Key: `${address.prefix}left` }));
  const unfinished = async (): Promise<unknown> =>
    (await client.send(new ListMultipartUploadsCommand({ Bucket: "plain" }))).Uploads?.map(({ Key }) => Key);
  const clock = new ManualClock(Date.now() + 23 * 3_600_000);
  await new S3Storage({ address, clock, sizes: small }).put("a", [randomBytes(100_000)]);
  expect(await unfinished()).toEqual([`${address.prefix}left`]);
  await clock.advance(2 * 3_600_000);
  await new S3Storage({ address, clock, sizes: small }).put("b", [randomBytes(100_000)]);
  expect(await unfinished()).toBeUndefined();
});

test("a bucket that isn't there and a wrong key are told apart", async () => {
  const missing = new S3Storage({ address: place("never-made") });
  for (const call of [() => missing.stat("a"), () => missing.put("a", []), () => collect(missing.list(""))])
    expect(await rejection(call())).toMatchObject({ code: "storage_unreachable" });
  const address = place();
  const path = swift.writeCredentials(`${swift.folder}/stranger`, "test:stranger");
  const stranger = new S3Storage({ address: { ...address, credentials: { kind: "file", path } } });
  for (const call of [() => stranger.stat("a"), () => stranger.put("a", []), () => collect(stranger.list(""))])
    expect(await rejection(call())).toMatchObject({ code: "storage_denied" });
});

/** A host with this replica and nothing else offsite. */
function hostWith(replica: string, inPolicy = "far: {}"): Host {
  const host = new Host();
  onTestFinished(() => host.remove());
  host.set({ replicas: ["far"], cron: "0 0 * * *" });
  const text = readFileSync(host.config, "utf8").replace("far: { path: far }", `far: { ${replica} }`);
  writeFileSync(host.config, text.replace("far: {}", inPolicy).replace("last: 10", "last: 1"));
  return host;
}

test("a host that is lost comes back from Swift, by HTTPS with an authority of one's own", () => {
  const credentials = swift.writeCredentials();
  const where = `endpoint: "${swift.secureEndpoint}", credentials_file: ${credentials}, ca_file: ${swift.caFile}`;
  const host = hostWith(`s3: { bucket: plain, prefix: fleet/web1, ${where} }`);
  for (let n = 0; n < 2; n++) {
    writeFileSync(host.path("data/hello.txt"), `hello ${n}\n`);
    expect(host.run("run", "all")).toMatchObject({ status: 0, stderr: "" });
  }
  expect(host.json("list", "--location", "far")).toHaveLength(3);
  expect(host.run("sweep", "--location", "far")).toMatchObject({ status: 0 });
  expect(host.run("replicate", "--verify", "1/1", "--quiet")).toMatchObject({ status: 0, stderr: "" });
  const before = describeTree(host.path("data"));
  for (const name of ["data", "repository", "stillpoint.yaml"]) renameSync(host.path(name), host.path(`lost-${name}`));

  const query = `endpoint=${swift.secureEndpoint}&credentials_file=${credentials}&ca_file=${swift.caFile}`;
  const open = ["--repository", `s3://plain/fleet/web1?${query}`, "--key-file", host.key];
  const restored = stillpoint(["restore", "latest", "--source", "data", "--to", host.path("data"), ...open]);
  expect(restored).toMatchObject({ status: 0, stderr: "" });
  expect(describeTree(host.path("data"))).toEqual(before);
  expect(stillpoint(["list", "--fleet", `s3://plain/fleet?${query}`, "--key-file", host.key]).stdout).toContain("web1");
  expect(stillpoint(["recover", ...open])).toMatchObject({ status: 0, stderr: "" });
  expect(host.run("run", "all")).toMatchObject({ status: 0, stderr: "" });
  expect(host.json("check", "--location", "far", "--read-data")).toMatchObject({ findings: [] });
});

test("locks, which it hasn't, are refused before anything is put", async () => {
  const address = swift.address("versions", "vault/");
  const where = `endpoint: "${swift.endpoint}", credentials_file: ${swift.writeCredentials()}`;
  const s3 = `s3: { bucket: versions, prefix: vault, ${where} }, object_lock: compliance`;
  const host = hostWith(s3, "far: { lock: 30d }");
  const refusal = /Cannot lock anything in far: the bucket versions keeps no versions or has no Object Lock/;
  for (const args of [["init"], ["run", "all"]])
    expect(host.run(...args)).toMatchObject({ status: 3, stdout: expect.stringMatching(refusal) });
  expect(await collect(new S3Storage({ address }).list(""))).toEqual([]);
});
