/**
 * The promise, tried: the host is gone, and everything comes back from the replica with the key alone; once by Stillpoint,
 * once by the emergency reader, which shares no code with it. Both must give what was there, byte by byte and attribute
 * by attribute.
 */
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { Host, isRoot, project, stillpoint } from "./host.ts";

const python = "/usr/bin/python3";
const reader = join(project, "tools/emergency-reader/stillpoint-emergency-reader.py");
const describer = join(project, "test/vectors/describe-tree.py");
const sources = ["data", "disk", "dump"] as const;

function run(program: string, ...args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`${program} ${args.join(" ")}: ${stderr}`);
  return stdout;
}

/** Everything at a path, with all attributes that a restore brings back. */
function describe(path: string): object[] {
  return JSON.parse(run(python, describer, path)) as object[];
}

/** What makes a tree hard to restore. */
function complicate(host: Host): void {
  const at = (...names: string[]): string => host.path("data", ...names);
  run("truncate", "-s", "20M", at("sparse"));
  run("dd", "if=/dev/urandom", `of=${at("sparse")}`, "bs=1k", "seek=9000", "count=700", "conv=notrunc");
  run("mkfifo", "-m", "0620", at("fifo"));
  run("setfattr", "-n", "user.comment", "-v", "kept", at("hello.txt"));
  run("setfacl", "-m", "u:1234:rw", at("hello.txt"));
  run("setfacl", "-d", "-m", "g:4321:rx", at("folder"));
  mkdirSync(at("locked"));
  writeFileSync(at("locked", "inside"), "x");
  utimesSync(at("big"), 981_173_106.123456, 981_173_106.987654);
  chmodSync(at("locked"), 0o550);
  if (!isRoot) return;
  chownSync(at("big"), 1234, 4321);
  run("chown", "--no-dereference", "1234:4321", at("folder/link"));
  run("mknod", "-m", "0600", at("device"), "c", "1", "3");
  run("setcap", "cap_net_raw+ep", at("hello.txt"));
  chmodSync(at("folder"), 0o2711);
}

test("everything comes back from the replica with the key alone, twice, and both times the same", () => {
  const host = new Host();
  const elsewhere = mkdtempSync(join(tmpdir(), "stillpoint-elsewhere-"));
  onTestFinished(() => {
    host.remove();
    rmSync(elsewhere, { recursive: true, force: true });
  });
  host.set();
  expect(host.run("run", "all").status).toBe(0);
  complicate(host);
  expect(host.run("run", "all").status).toBe(0);

  const before = Object.fromEntries(["data", "disk.raw"].map((name) => [name, describe(host.path(name))]));
  const replica = join(elsewhere, "replica");
  const key = join(elsewhere, "key");
  copyFileSync(host.key, key);
  renameSync(host.path("usb"), replica);
  host.remove();
  expect(existsSync(host.folder)).toBe(false);

  const open = ["--repository", replica, "--key-file", key];
  const listed = JSON.parse(stillpoint(["list", "--json", ...open]).stdout) as { id: string; source: string }[];
  expect(listed).toHaveLength(6);
  for (const source of sources) {
    const id = listed.findLast((point) => point.source === source)?.id ?? "";
    const ours = join(elsewhere, `${source}-restored`);
    const theirs = join(elsewhere, `${source}-emergency`);
    const { status, stdout, stderr } = stillpoint(["restore", id, "--to", ours, ...open]);
    expect({ status, stdout, stderr }).toMatchObject({ status: 0, stderr: "" });
    run(python, reader, "restore", ...open, id, "--to", theirs);
    const comparable = source === "data" ? describe : (path: string) => contentOf(describe(path));
    expect(comparable(ours)).toEqual(comparable(theirs));
  }
  expect(describe(join(elsewhere, "data-restored"))).toEqual(before["data"]);
  expect(contentOf(describe(join(elsewhere, "disk-restored")))).toEqual(contentOf(before["disk.raw"] ?? []));
  expect(run("cat", join(elsewhere, "dump-restored"))).toBe(run("cat", join(project, "test/e2e/host.ts")));

  // A copy that was only read is as it was: nothing was written into it.
  expect(JSON.parse(stillpoint(["check", "--read-data", "--json", ...open]).stdout)).toMatchObject({ findings: [] });
  expect(readdirSync(join(replica, "tmp"))).toEqual([]);
});

/** An image has content, and no attributes of its own. */
function contentOf(entries: readonly object[]): unknown {
  const [entry] = entries as readonly { size: number; sha256: string }[];
  return { size: entry?.size, sha256: entry?.sha256 };
}
