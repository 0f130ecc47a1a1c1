/** Replicas on a real sshd: the contract, the ways in, everything that may befall a connection, and an empty machine. */

import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { systemClock } from "../../src/host/clock.ts";
import { createStorage, openStorage } from "../../src/storage/open.ts";
import { parseSftpUrl } from "../../src/storage/drivers/sftp/sftp-url.ts";
import type { SftpAddress } from "../../src/storage/storage.ts";
import { storageContract } from "../contract/storage-contract.ts";
import { fastMeter } from "../helpers/fast-meter.ts";
import { rejection } from "../helpers/rejection.ts";
import { type Sshd, startSshd } from "../helpers/sshd.ts";
import { runProgram } from "../helpers/sftp.ts";
import { freePort } from "../helpers/free-port.ts";
import { listensAt } from "../helpers/listening.ts";
import { ended, Host, isRoot, startStillpoint, stillpoint } from "./host.ts";

let sshd: Sshd;
let made = 0;

beforeAll(async () => {
  sshd = await startSshd();
});

afterAll(async () => {
  await sshd.stop();
});

/** Of a place on the server that nobody has used yet. */
function newAddress(changes: Partial<SftpAddress> = {}): SftpAddress {
  return { ...parseSftpUrl(sshd.url(`${sshd.folder}/storage-${made++}`)), ...changes };
}

storageContract("sftp by ssh to a real sshd, with every wrapper", async () => {
  const address = newAddress();
  await createStorage(address);
  return openStorage(address, { concurrency: 8, bandwidth: fastMeter(), observer: () => undefined });
});

describe("the way in", () => {
  const reach = async (address: SftpAddress): Promise<Buffer> => {
    await createStorage(address);
    const storage = openStorage(address);
    await storage.put("a", [Buffer.from("content")]);
    return await storage.get("a");
  };

  test("a server that isn't known is refused", async () => {
    const empty = join(sshd.folder, "no_known_hosts");
    writeFileSync(empty, "");
    const error = await rejection(reach(newAddress({ knownHostsFile: empty })));
    expect(error).toMatchObject({ code: "storage_denied", retryable: false });
    expect(String(error)).toContain("Host key verification failed");
    expect(readFileSync(empty, "utf8")).toBe("");
  });

  test("a server with another key than is known is refused", async () => {
    runProgram("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", join(sshd.folder, "other"));
    const other = join(sshd.folder, "other_known_hosts");
    writeFileSync(other, `[127.0.0.1]:${sshd.port} ${readFileSync(join(sshd.folder, "other.pub"), "utf8")}`);
    expect(await rejection(reach(newAddress({ knownHostsFile: other })))).toMatchObject({ code: "storage_denied" });
  });

  test("a key that the server doesn't know is refused, without asking for a password", async () => {
    const stranger = join(sshd.folder, "stranger");
    runProgram("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", stranger);
    const error = await rejection(reach(newAddress({ identityFile: stranger })));
    expect(error).toMatchObject({ code: "storage_denied" });
    expect(String(error)).toContain("Permission denied");
  });

  test("a key with a passphrase is refused when no agent has it, and works when one does", async () => {
    const locked = join(sshd.folder, "locked");
    copyFileSync(sshd.identity, locked);
    copyFileSync(`${sshd.identity}.pub`, `${locked}.pub`);
    runProgram("ssh-keygen", "-q", "-p", "-N", "a passphrase", "-f", locked);
    expect(await rejection(reach(newAddress({ identityFile: locked })))).toMatchObject({ code: "storage_denied" });
    const socket = join(sshd.folder, "agent");
    const agent = spawn("ssh-agent", ["-D", "-a", socket], { stdio: "ignore" });
    onTestFinished(() => void agent.kill());
    while (!(await listensAt(socket))) await systemClock.sleep(20);
    const before = process.env["SSH_AUTH_SOCK"];
    process.env["SSH_AUTH_SOCK"] = socket;
    onTestFinished(() => {
      if (before === undefined) delete process.env["SSH_AUTH_SOCK"];
      else process.env["SSH_AUTH_SOCK"] = before;
    });
    runProgram("ssh-add", "-q", sshd.identity);
    expect((await reach(newAddress({ identityFile: undefined }))).toString()).toBe("content");
    expect((await reach(newAddress({ identityFile: locked }))).toString()).toBe("content");
  });

  test("through a jump host of ssh_config", async () => {
    const config = join(sshd.folder, "ssh_config");
    const common = [
      "HostName 127.0.0.1",
      `Port ${sshd.port}`,
      `IdentityFile ${sshd.identity}`,
      `UserKnownHostsFile ${sshd.knownHosts}`,
      "StrictHostKeyChecking yes",
    ];
    writeFileSync(config, ["Host far", ...common, "ProxyJump gateway", "Host gateway", ...common, ""].join("\n"));
    const files = { identityFile: undefined, knownHostsFile: undefined, port: undefined, sshConfig: config };
    expect((await reach(newAddress({ ...files, host: "far" }))).toString()).toBe("content");
    const sessions = sshd.log().match(/Accepted publickey/g) ?? [];
    expect(sessions.length).toBeGreaterThan(2);
  });

  test("to a server that isn't there", async () => {
    const error = await rejection(reach(newAddress({ port: await freePort() })));
    expect(error).toMatchObject({ code: "storage_unreachable", retryable: true });
    expect(String(error)).toContain("Connection refused");
  });
});

describe.skipIf(!isRoot)("a disk of the server's", () => {
  test("that is full, and one that is read-only, are told apart; what was stored stays", async () => {
    const mount = join(sshd.folder, "disk");
    mkdirSync(mount);
    runProgram("mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", mount);
    onTestFinished(() => void spawnSync("umount", ["-l", mount]));
    const address = newAddress({ path: `${mount}/storage` });
    await createStorage(address);
    const storage = openStorage(address);
    await storage.put("small", [Buffer.from("small")]);
    expect(await rejection(storage.put("large", [Buffer.alloc(3_000_000, 1)]))).toMatchObject({ code: "storage_full" });
    expect(await rejection(storage.get("large"))).toMatchObject({ code: "object_missing" });
    expect(readdirSync(`${mount}/storage/tmp`)).toEqual([]);
    runProgram("mount", "-o", "remount,ro", mount);
    expect(await rejection(storage.put("other", [Buffer.from("x")]))).toMatchObject({ code: "storage_denied" });
    expect((await storage.get("small")).toString()).toBe("small");
  });
});

/** Stands between client and server; each connection is cut after so many bytes of the client's. */
async function cuttingProxy(
  port: number,
  bytes: () => number,
): Promise<{ readonly port: number; readonly server: Server }> {
  const server = createServer((client: Socket) => {
    const upstream = connect(port, "127.0.0.1");
    const end = (): void => {
      client.destroy();
      upstream.destroy();
    };
    let left = bytes();
    for (const socket of [client, upstream]) socket.on("error", end).on("close", end);
    client.on("data", (chunk) => {
      left -= chunk.length;
      if (left < 0) end();
      else upstream.write(chunk);
    });
    upstream.pipe(client);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { port: (server.address() as AddressInfo).port, server };
}

describe("a host with its replica on the server", () => {
  /** Replaces the usual replica by one on the server. */
  function set(host: Host, port: number, path: string): void {
    host.set({ replicas: ["far"] });
    const keys = `identity_file: ${sshd.identity}, known_hosts_file: ${host.path("known_hosts")}`;
    writeFileSync(host.path("known_hosts"), readFileSync(sshd.knownHosts, "utf8").replace(`:${sshd.port}`, `:${port}`));
    const place = `sftp: { host: 127.0.0.1, port: ${port}, user: ${sshd.user}, path: ${path}, ${keys} }`;
    writeFileSync(host.config, readFileSync(host.config, "utf8").replace("far: { path: far }", `far: { ${place} }`));
  }

  test("is lost as a whole, and comes back on an empty machine by URL and key", () => {
    const host = new Host();
    const elsewhere = mkdtempSync(join(tmpdir(), "stillpoint-elsewhere-"));
    onTestFinished(() => {
      host.remove();
      rmSync(elsewhere, { recursive: true, force: true });
    });
    const path = `${sshd.folder}/empty-machine`;
    set(host, sshd.port, path);
    expect(host.run("init")).toMatchObject({ status: 0, stderr: "" });
    const run = host.run("run", "all");
    expect({ status: run.status, stderr: run.stderr }).toEqual({ status: 0, stderr: "" });
    const big = readFileSync(host.path("data/big"));
    const key = join(elsewhere, "key");
    copyFileSync(host.key, key);
    host.remove();

    const open = ["--repository", sshd.url(path), "--key-file", key];
    const listed = JSON.parse(stillpoint(["list", "--json", ...open]).stdout) as { source: string }[];
    expect(listed.map(({ source }) => source).sort()).toEqual(["data", "disk", "dump"]);
    const to = join(elsewhere, "restored");
    const restored = stillpoint(["restore", "latest", "--source", "data", "--to", to, ...open]);
    expect({ status: restored.status, stderr: restored.stderr }).toEqual({ status: 0, stderr: "" });
    expect(readFileSync(join(to, "big")).equals(big)).toBe(true);
    expect(readFileSync(join(to, "folder/private"), "utf8")).toBe("secret");
    const checked = stillpoint(["check", "--read-data", "--json", ...open]);
    expect(JSON.parse(checked.stdout)).toMatchObject({ findings: [] });
  });

  test("whose line is cut again and again gets on, and in the end nothing lacks", async () => {
    const host = new Host();
    onTestFinished(() => host.remove());
    let allowed = 1_500_000;
    const proxy = await cuttingProxy(sshd.port, () => allowed);
    onTestFinished(() => void proxy.server.close());
    const path = `${sshd.folder}/cut`;
    set(host, proxy.port, path);
    // Nothing that compresses: it must take several connections.
    for (let n = 0; n < 12; n++)
      runProgram("dd", "if=/dev/urandom", `of=${host.path("data", `random-${n}`)}`, "bs=1M", "count=1");
    const cut = await ended(startStillpoint(["run", "all", "--config", host.config]));
    expect(cut.status).not.toBe(0);
    expect(cut.stdout + cut.stderr).toContain("127.0.0.1");
    allowed = Number.POSITIVE_INFINITY;
    const again = await ended(startStillpoint(["replicate", "--config", host.config]));
    expect({ status: again.status, stderr: again.stderr }).toEqual({ status: 0, stderr: "" });
    const checked = await ended(
      startStillpoint(["check", "--read-data", "--location", "far", "--json", "--config", host.config]),
    );
    expect(JSON.parse(checked.stdout)).toMatchObject({ findings: [] });
  });
});
