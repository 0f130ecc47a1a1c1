/** The server's side as docs/offsite.md has it: a user in a chroot who can add, and nothing else; and what a thief can do with that login. */

import { spawnSync } from "node:child_process";
import { chownSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { createStorage, openStorage } from "../../src/storage/open.ts";
import { parseSftpUrl } from "../../src/storage/drivers/sftp/sftp-url.ts";
import { collect } from "../helpers/collect.ts";
import { rejection } from "../helpers/rejection.ts";
import { type Sshd, startSshd } from "../helpers/sshd.ts";
import { Host, isRoot, project } from "./host.ts";

/** A user of every Debian, who is not root and has no shell. */
const user = "nobody";
const uid = 65_534;

/** The lines of the manual, for this user and folder. */
function documented(folder: string): string[] {
  const manual = readFileSync(join(project, "docs/offsite.md"), "utf8");
  const block = /<!-- test\/e2e\/sftp-chroot[^\n]*\n```\n(.*?)```/s.exec(manual)?.[1] ?? "";
  expect(block).toContain("Match User web1");
  return block
    .replaceAll("/srv/stillpoint/web1", join(folder, "chroot"))
    .replaceAll("/etc/ssh/stillpoint/%u", join(folder, "authorized"))
    .replaceAll("web1", user)
    .trimEnd()
    .split("\n");
}

describe.skipIf(!isRoot)("a server set up as the manual says", () => {
  let sshd: Sshd;
  let files: string;

  beforeAll(async () => {
    sshd = await startSshd(documented);
    files = join(sshd.folder, "chroot/replica");
    mkdirSync(files, { recursive: true });
    chownSync(files, uid, uid);
  });

  afterAll(async () => {
    await sshd.stop();
  });

  /** What OpenSSH's own client says to commands; empty when all went well. */
  function thief(...commands: readonly string[]): string {
    const options = [
      "-q",
      "-b",
      "-",
      "-P",
      String(sshd.port),
      "-i",
      sshd.identity,
      "-o",
      `UserKnownHostsFile=${sshd.knownHosts}`,
    ];
    const { status, stderr } = spawnSync("sftp", [...options, `${user}@127.0.0.1`], {
      input: commands.join("\n"),
      encoding: "utf8",
    });
    return status === 0 ? "" : stderr.trim();
  }

  test("takes a whole replica, and lets nothing of it be harmed with the same login", async () => {
    const host = new Host();
    onTestFinished(() => host.remove());
    host.set({ replicas: ["far"] });
    const text = readFileSync(host.config, "utf8");
    const place = `sftp: { host: 127.0.0.1, port: ${sshd.port}, user: ${user}, path: /replica, identity_file: ${sshd.identity}, known_hosts_file: ${sshd.knownHosts} }, append_only: true`;
    writeFileSync(host.config, text.replace("far: { path: far }", `far: { ${place} }`));
    expect(host.run("init")).toMatchObject({ status: 0, stderr: "" });
    for (let n = 0; n < 2; n++) {
      const run = host.run("run", "all");
      expect({ status: run.status, stderr: run.stderr }).toEqual({ status: 0, stderr: "" });
    }

    const storage = openStorage(parseSftpUrl(sshd.url("/replica", user)));
    const before = await collect(storage.list(""));
    expect(before.length).toBeGreaterThan(8);
    const { name: victim } = before.find(({ name }) => name.startsWith("packs/")) ?? { name: "" };
    const at = `/replica/${victim}`;
    for (const attack of [
      `rm ${at}`,
      `rename ${at} /replica/gone`,
      `rename -l ${at} /replica/gone`,
      `put ${host.config} ${at}`,
      `put ${host.config} /replica/format`,
      `chmod 600 ${at}`,
      `chmod 777 /replica/packs`,
      `rmdir /replica/points`,
      `symlink /etc/passwd /replica/packs/link`,
      `ln ${host.config} ${at}`,
    ]) {
      expect([attack, thief(attack) === "" ? "succeeded" : "refused"]).toEqual([attack, "refused"]);
    }
    // The same client with the same login, doing what it may.
    expect(thief("ls /replica", `get ${at} /dev/null`, `put ${host.config} /replica/tmp/added`)).toBe("");
    expect(await rejection(storage.delete(victim))).toMatchObject({ code: "storage_denied" });
    expect(await rejection(storage.put(victim, [Buffer.from("rubbish")]))).toMatchObject({ code: "storage_denied" });
    const order = (a: { name: string }, b: { name: string }): number => (a.name < b.name ? -1 : 1);
    expect((await collect(storage.list(""))).sort(order)).toEqual(before.sort(order));
    const checked = host.run("check", "--read-data", "--location", "far", "--json");
    expect(JSON.parse(checked.stdout)).toMatchObject({ findings: [] });
  });

  test("keeps the user in the folder, without a shell or a way on", async () => {
    const address = parseSftpUrl(sshd.url("/elsewhere", user));
    // The chroot itself belongs to root.
    expect(await rejection(createStorage(address))).toMatchObject({ code: "storage_denied" });
    const options = [
      "-p",
      String(sshd.port),
      "-i",
      sshd.identity,
      "-o",
      `UserKnownHostsFile=${sshd.knownHosts}`,
      "-o",
      "BatchMode=yes",
    ];
    const shell = spawnSync("ssh", [...options, `${user}@127.0.0.1`, "echo in"], {
      input: "",
      encoding: "utf8",
      timeout: 20_000,
    });
    expect(shell.stdout).not.toContain("in");
    expect(readdirSync(join(sshd.folder, "chroot"))).toEqual(["replica"]);
  });
});
