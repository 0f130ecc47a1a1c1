/**
 * A thief at a locked replica in a real Ceph, with the host's own credentials, more rights than they should have, and the
 * repository's key. Nothing locked is lost, and all that he does is seen, by `check` and by the daemon's metric; then an empty machine
 * gets everything back, with the least rights.
 */
import {
  DeleteObjectCommand,
  GetObjectCommand,
  GetObjectRetentionCommand,
  type ListObjectVersionsCommandOutput,
  ListObjectVersionsCommand,
  type ObjectVersion,
  PutBucketPolicyCommand,
  PutObjectCommand,
  PutObjectRetentionCommand,
  type S3Client,
} from "@aws-sdk/client-s3";
import { randomBytes } from "node:crypto";
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { toError } from "../../src/errors.ts";
import { systemClock } from "../../src/host/clock.ts";
import { parseKeyFile } from "../../src/repository/keys/key-objects.ts";
import { sealLockRecord } from "../../src/repository/locks/lock-record.ts";
import { commitPoint, loadCatalog } from "../../src/repository/points/catalog.ts";
import { openRepository, type Repository } from "../../src/repository/repository.ts";
import { parseS3Url } from "../../src/storage/drivers/s3/s3-url.ts";
import { openStorage } from "../../src/storage/open.ts";
import { Ceph } from "../helpers/ceph.ts";
import { describeTree } from "../helpers/describe-tree.ts";
import { eventually, RunningDaemon, samplesAt } from "../helpers/running-daemon.ts";
import { Host, project, stillpoint } from "./host.ts";

const day = 24 * 3_600_000;
const Bucket = "recovery";
let ceph: Ceph;
let administrator: S3Client;
/** With the host's access key. */
let thief: S3Client;
const host = new Host();
/** Where there is nothing but the key and the credentials. */
const elsewhere = new Host();

beforeAll(async () => {
  ceph = await Ceph.start();
  administrator = ceph.client();
  thief = ceph.client("host");
  await ceph.makeBucket(Bucket, "locks");
  await ceph.makeBucket("plain");
  await ceph.makeUser("host");
  await allow(documentedRights());
  await allow([everything("plain")], "plain");
  host.writeSources();
  for (const one of [host, elsewhere]) ceph.writeCredentials(one.path("s3"), "host");
  writeFileSync(host.config, configuration(Bucket));
}, 300_000);
afterAll(async () => {
  for (const client of [thief, administrator]) client.destroy();
  for (const one of [host, elsewhere]) one.remove();
  await ceph.stop();
});

function documentedRights(): object[] {
  const page = readFileSync(`${project}/docs/offsite.md`, "utf8");
  const text = /```json\n([^]*?)```/.exec(page.slice(page.indexOf("s3-thief.test.ts")))?.[1] ?? "";
  return (JSON.parse(text) as { Statement: object[] }).Statement;
}

function everything(bucket: string): object {
  return { Effect: "Allow", Action: "s3:*", Resource: [`arn:aws:s3:::${bucket}`, `arn:aws:s3:::${bucket}/*`] };
}

/** What the host's access key may do. */
async function allow(statements: readonly object[], bucket = Bucket): Promise<void> {
  const Principal = { AWS: ["arn:aws:iam:::user/host"] };
  const Statement = statements.map((one) => ({ ...one, Principal }));
  const Policy = JSON.stringify({ Version: "2012-10-17", Statement });
  await administrator.send(new PutBucketPolicyCommand({ Bucket: bucket, Policy }));
}

function configuration(bucket: string, prefix = "web1", mode = "compliance"): string {
  const s3 = `{ endpoint: "${ceph.endpoint}", bucket: ${bucket}, prefix: ${prefix}, credentials_file: s3 }`;
  return `version: 1
repository: { path: repository, key_file: repository.key }
replicas: { vault: { s3: ${s3}, object_lock: ${mode} } }
sources: { data: { directory: { path: data } } }
policies:
  all:
    sources: [data]
    schedule: { manual: true }
    keep: { last: 10 }
    replicate: { vault: { keep: { last: 1 }, lock: 4d } }
maintenance: { sweep: { manual: true }, check: { schedule: { cron: "*/2 * * * * *" }, read_data: none } }
daemon: { listen: "127.0.0.1:0" }
`;
}

const url = (): string =>
  `s3://${Bucket}/web1?endpoint=${ceph.endpoint}&credentials_file=${elsewhere.path("s3")}&object_lock=compliance`;
const open = (): string[] => ["--repository", url(), "--key-file", elsewhere.path("key")];

/** The repository as the thief opens it: with the key that he found on the host. */
async function stolen(): Promise<Repository> {
  const address = parseS3Url(url());
  const secret = parseKeyFile(readFileSync(elsewhere.path("key"), "utf8"), "key");
  return await openRepository({
    storage: openStorage(address),
    clock: systemClock,
    secret: { type: "key-file", secret },
  });
}

async function versions(): Promise<ListObjectVersionsCommandOutput> {
  return await thief.send(new ListObjectVersionsCommand({ Bucket, Prefix: "web1/" }));
}

/** Until the daemon with that address, which checks every other second, has found that much. */
async function untilFound(daemon: string, count: number): Promise<void> {
  const found = async (): Promise<true | undefined> => {
    // A connection that was kept has been closed while a program ran to its end here.
    const samples = await samplesAt(daemon).catch(() => undefined);
    return samples?.get('stillpoint_check_findings{location="vault"}') === count || undefined;
  };
  await eventually(found, 120_000);
}

function runs(...args: readonly string[]): string {
  const { status, stdout, stderr } = host.run(...args);
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  return stdout;
}

function findings(): { kind: string; object: string; message: string }[] {
  const { status, stdout, stderr } = stillpoint(["check", "--read-data", "--json", ...open()]);
  expect(stderr).toBe("");
  const { findings: all } = JSON.parse(stdout) as { findings: ReturnType<typeof findings> };
  expect(status).toBe(all.length === 0 ? 0 : 4);
  return all;
}

const toBeLocked = /^web1\/(?:format$|keys\/|packs\/|index\/|points\/|config\/|locks\/)/;

test("a bucket that doesn't lock is refused, and nothing is sent there", () => {
  writeFileSync(host.path("plain.yaml"), configuration("plain").replace("path: repository", "path: other"));
  const { status, stdout } = stillpoint(["init", "--config", host.path("plain.yaml")]);
  expect(status).toBe(3);
  expect(stdout).toContain("the bucket plain keeps no versions or has no Object Lock");
  for (const name of ["other", "state", "repository.key"]) rmSync(host.path(name), { recursive: true, force: true });
});

test("a host with the least rights replicates; all is locked, and what the rules give up stays until its lock ends", async () => {
  runs("init");
  for (const word of ["first", "second"]) {
    writeFileSync(host.path("data/changing"), word);
    runs("run", "all");
  }
  const { Versions = [], DeleteMarkers = [] } = await versions();
  expect(DeleteMarkers).toEqual([]);
  const locked = Versions.filter(({ Key = "" }) => toBeLocked.test(Key));
  expect(locked.length).toBeGreaterThan(8);
  const [newest, oldest] = host.json("list", "--location", "vault") as { id: string }[];
  expect(runs("prune", "--dry-run")).toContain("locked until");
  const forgotten = host.run("forget", oldest?.id ?? "", "--location", "vault");
  expect(forgotten.status).toBe(2);
  expect(forgotten.stderr).toContain("it is locked at vault until");
  expect(newest?.id).not.toBe(oldest?.id);
  copyFileSync(host.key, elsewhere.path("key"));
  expect(findings()).toEqual([]);
});

test("whatever the thief does is seen, and the empty machine gets everything back", async () => {
  const before = describeTree(host.path("data"));
  const { Versions = [] } = await versions();
  const keys = Versions.flatMap(({ Key = "" }) => (toBeLocked.test(Key) ? [Key] : []));
  const put = async (Key: string, Body: Buffer): Promise<unknown> =>
    await thief.send(new PutObjectCommand({ Bucket, Key, Body }));
  const get = async (Key: string): Promise<Buffer> => {
    const { Body } = await thief.send(new GetObjectCommand({ Bucket, Key }));
    return Buffer.from((await Body?.transformToByteArray()) ?? []);
  };
  const daemon = await new RunningDaemon(host.config).started();
  await untilFound(daemon, 0);
  await allow([everything(Bucket)]);
  for (const { Key = "", VersionId } of Versions) {
    const destroyed = thief.send(new DeleteObjectCommand({ Bucket, Key, VersionId })).then(() => "destroyed");
    expect(await destroyed.catch((error: unknown) => toError(error).name)).toBe(
      toBeLocked.test(Key) ? "AccessDenied" : "destroyed",
    );
  }
  const repository = await stolen();
  const [point] = (await loadCatalog(repository)).points;
  if (point === undefined) throw new Error("no point");

  // Forged with the stolen key: a point of the future, and a record that pins what he puts over a pack.
  const time = new Date(Date.now() + 400 * day).toISOString();
  const future = await commitPoint(repository, { ...point.manifest, time });
  const pack = keys.find((key) => key.startsWith("web1/packs/")) ?? "";
  const forged = await thief.send(new PutObjectCommand({ Bucket, Key: pack, Body: randomBytes(1000) }));
  const objects = new Map([[pack.slice("web1/".length), forged.VersionId ?? ""]]);
  const record = sealLockRecord(repository.keys, {
    time: Date.now(),
    until: Date.now() + 1000 * day,
    points: [],
    objects,
  });
  await put(`web1/${record.name}`, record.data);
  // Rolled back: older objects in the places of newer ones.
  const [older = "", newer = ""] = keys.filter((key) => key.startsWith("web1/points/"));
  const [oldRecord = "", newRecord = ""] = keys.filter((key) => key.startsWith("web1/locks/"));
  await put(newer, await get(older));
  await put(newRecord, await get(oldRecord));
  // Forged without a key, truncated, replayed as it was.
  await put(
    "web1/points/00000000000000000000000000000000/20261122T000000000Z-".concat("0".repeat(32)),
    randomBytes(99),
  );
  const index = keys.find((key) => key.startsWith("web1/index/")) ?? "";
  await put(index, (await get(index)).subarray(0, 100));
  const config = keys.find((key) => key.startsWith("web1/config/")) ?? "";
  await put(config, await get(config));

  const first = findings();
  const seen = first.map(({ kind, object }) => `${kind} ${object}`);
  for (const key of [pack, newer, newRecord, index]) expect(seen).toContain(`lock ${key.slice("web1/".length)}`);
  expect(seen).toContain(`lock ${record.name}`);
  expect(seen).toContain(`point ${future.name}`);
  expect(seen.filter((one) => one.startsWith("object points/000"))).toHaveLength(1);
  expect(first).toHaveLength(8);
  await untilFound(daemon, 8);

  // And then everything is hidden.
  for (const { Key } of (await versions()).Versions ?? []) await thief.send(new DeleteObjectCommand({ Bucket, Key }));
  expect(JSON.parse(JSON.stringify((await versions()).Versions?.filter(({ IsLatest }) => IsLatest)))).toEqual([]);
  const all = findings();
  const hidden = new Set(all.map(({ object }) => `web1/${object}`));
  for (const key of keys) expect(hidden).toContain(key);
  await untilFound(daemon, all.length);

  // The stolen key is taken away; with a new one of the least rights, all is brought back.
  await allow(documentedRights());
  const repaired = stillpoint(["repair", "--json", ...open()]);
  expect(repaired).toMatchObject({ status: 0, stderr: "" });
  const left = findings().map(({ kind, object }) => `${kind} ${object}`);
  expect(new Set(left)).toEqual(new Set([`lock ${record.name}`]));
  await untilFound(daemon, left.length);
  mkdirSync(elsewhere.path("back"));
  const restored = elsewhere.path("back/data");
  const { status, stderr } = stillpoint(["restore", "latest", "--source", "data", "--to", restored, ...open()]);
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  expect(describeTree(restored)).toEqual(before);
});

test("who may lift locks is seen as well, and what a sweep and a repair put in the places of what he took is locked as it was", async () => {
  const second = new Host();
  onTestFinished(() => second.remove());
  second.writeSources();
  ceph.writeCredentials(second.path("s3"), "host");
  writeFileSync(second.config, configuration(Bucket, "web1/second", "governance"));
  const everywhere = `arn:aws:s3:::${Bucket}/web1/second/*`;
  const ways = { Effect: "Allow", Action: ["s3:*"], Resource: [everywhere] };
  await allow([...documentedRights(), ways]);
  const run = (...args: readonly string[]): void =>
    expect(second.run(...args)).toMatchObject({ status: 0, stderr: "" });
  run("init");
  run("run", "all");
  const list = async (): Promise<(ObjectVersion & { Key: string; VersionId: string })[]> => {
    const { Versions = [] } = await thief.send(new ListObjectVersionsCommand({ Bucket, Prefix: "web1/second/" }));
    return Versions.map((one) => ({ ...one, Key: one.Key ?? "", VersionId: one.VersionId ?? "" }));
  };
  const before = await list();
  const first = (folder: string): { Bucket: string; Key: string; VersionId: string } => {
    const { Key = "", VersionId = "" } = before.find((one) => one.Key.startsWith(`web1/second/${folder}/`)) ?? {};
    return { Bucket, Key, VersionId };
  };
  const lock = async ({ Key, VersionId }: { Key: string; VersionId: string }): Promise<Date | undefined> =>
    (await thief.send(new GetObjectRetentionCommand({ Bucket, Key, VersionId }))).Retention?.RetainUntilDate;
  const until = await lock(first("points"));
  const daemon = await new RunningDaemon(second.config).started();
  await untilFound(daemon, 0);

  const lift = { BypassGovernanceRetention: true };
  await thief.send(new DeleteObjectCommand({ ...first("index"), ...lift }));
  const found = (): { object: string; message: string }[] =>
    (second.json("check", "--location", "vault") as { findings: ReturnType<typeof found> }).findings;
  await untilFound(daemon, found().length);
  // With the rights that the manual gives to the machine which prunes there.
  await allow([...documentedRights(), { Effect: "Allow", Action: ["s3:DeleteObject"], Resource: [everywhere] }]);
  run("prune", "--location", "vault");
  run("sweep", "--location", "vault");
  await allow([...documentedRights(), ways]);
  await thief.send(new DeleteObjectCommand({ ...first("packs"), ...lift }));
  run("repair", "--location", "vault");
  const put = (await list()).filter(
    (one) => !before.some(({ Key }) => Key === one.Key) && toBeLocked.test(one.Key.replace("second/", "")),
  );
  const folders = put.map(({ Key }) => Key.split("/")[2] ?? "");
  expect(folders.toSorted()).toEqual(["index", "index", "locks", "locks", "packs"]);
  for (const one of put) {
    expect(await lock(one)).toEqual(until);
    const destroyed = thief.send(new DeleteObjectCommand({ Bucket, Key: one.Key, VersionId: one.VersionId }));
    expect(await destroyed.catch((error: unknown) => toError(error).name)).toBe("AccessDenied");
  }
  const RetainUntilDate = new Date(Date.now() + day);
  await thief.send(
    new PutObjectRetentionCommand({ ...first("points"), ...lift, Retention: { Mode: "GOVERNANCE", RetainUntilDate } }),
  );
  const left = found();
  const objects = ["index", "packs", "points"].map((folder) => first(folder).Key.slice("web1/second/".length));
  expect([...new Set(left.map(({ object }) => object))].toSorted()).toEqual(objects);
  await untilFound(daemon, left.length);
  expect(left.find(({ object }) => object.startsWith("points/"))?.message).toContain("is locked until");
});
