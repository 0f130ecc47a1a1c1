/**
 * A replica in a bucket, from the first `init` to the day on which nothing else is left: the host's folder is deleted, and
 * everything comes back with the URL and the key.
 */
import { mkdtempSync, copyFileSync, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { Ceph } from "../helpers/ceph.ts";
import { describeTree } from "../helpers/describe-tree.ts";
import { Host, stillpoint } from "./host.ts";

let ceph: Ceph;

beforeAll(async () => {
  ceph = await Ceph.start();
  await ceph.makeBucket("recovery");
}, 300_000);
afterAll(async () => await ceph.stop());

/** The host's configuration with its replica in the bucket. */
function moveReplica(host: Host): void {
  const s3 = `{ endpoint: "${ceph.endpoint}", bucket: recovery, prefix: web1, credentials_file: s3-key }`;
  const text = readFileSync(host.config, "utf8").replace("{ path: usb }", `{ s3: ${s3} }`);
  writeFileSync(host.config, text);
  ceph.writeCredentials(host.path("s3-key"));
}

test("an empty machine gets everything back from the bucket, with the URL and the key alone", async () => {
  const host = new Host();
  const elsewhere = mkdtempSync(join(tmpdir(), "stillpoint-elsewhere-"));
  onTestFinished(() => {
    host.remove();
    rmSync(elsewhere, { recursive: true, force: true });
  });
  host.set();
  moveReplica(host);
  const made = host.run("init");
  expect({ status: made.status, stderr: made.stderr }).toEqual({ status: 0, stderr: "" });
  expect(made.stdout).toContain(`s3://recovery/web1?endpoint=${ceph.endpoint}&region=us-east-1`);

  for (const word of ["first", "second"]) {
    writeFileSync(host.path("data/changing"), word);
    const { status, stderr } = host.run("run", "all");
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  }
  expect(host.json("list", "--location", "usb")).toHaveLength(6);
  const before = describeTree(host.path("data"));

  const [key, credentials] = [join(elsewhere, "key"), join(elsewhere, "s3-key")];
  copyFileSync(host.key, key);
  ceph.writeCredentials(credentials);
  host.remove();
  expect(existsSync(host.folder)).toBe(false);

  const url = `s3://recovery/web1?endpoint=${ceph.endpoint}&credentials_file=${credentials}`;
  const open = ["--repository", url, "--key-file", key];
  const listed = JSON.parse(stillpoint(["list", "--json", ...open]).stdout) as { id: string; source: string }[];
  expect(listed).toHaveLength(6);
  const restored = join(elsewhere, "data");
  const { status, stderr } = stillpoint(["restore", "latest", "--source", "data", "--to", restored, ...open]);
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  expect(describeTree(restored)).toEqual(before);
  expect(readFileSync(join(restored, "changing"), "utf8")).toBe("second");
  expect(JSON.parse(stillpoint(["check", "--read-data", "--json", ...open]).stdout)).toMatchObject({ findings: [] });
});

test("a bucket that isn't there is an error of its replica, and is never made", () => {
  const host = new Host();
  onTestFinished(() => host.remove());
  host.set();
  moveReplica(host);
  writeFileSync(host.config, readFileSync(host.config, "utf8").replace("bucket: recovery", "bucket: elsewhere"));
  const { status, stdout, stderr } = host.run("run", "all");
  expect(status).toBe(3);
  expect(stdout + stderr).toContain("there is no bucket elsewhere");
  expect(stdout + stderr).not.toContain(ceph.secretKey);
});
