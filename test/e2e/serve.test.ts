/** Disks of recovery points, as the clients of others see them. */
import { type ChildProcess, execFile } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { ended, Host, startStillpoint } from "./host.ts";

const run = promisify(execFile);
const host = new Host();
const content = Buffer.alloc(40 * 1024 * 1024);
const servers = new Set<ChildProcess>();

beforeAll(() => {
  host.set();
  // Data, holes and data again, up to an end that isn't a block's.
  for (let at = 0; at < content.length; at += 4) content.writeUInt32LE((at * 2654435761) >>> 0, at);
  content.fill(0, 3 * 1024 * 1024, 20 * 1024 * 1024);
  content.fill(0, 33 * 1024 * 1024 + 512, 33 * 1024 * 1024 + 128 * 1024);
  writeFileSync(host.path("disk.raw"), content.subarray(0, content.length - 512));
  expect(host.run("run", "all").status).toBe(0);
});

afterEach(async () => {
  for (const server of servers) {
    server.kill();
    await once(server, "close");
  }
  servers.clear();
});
afterAll(() => host.remove());

interface Served {
  readonly uri: string;
  readonly server: ChildProcess;
}

async function serve(...args: string[]): Promise<Served> {
  const server = startStillpoint(["serve", "latest", "--source", "disk", "--json", ...args]);
  servers.add(server);
  let text = "";
  for await (const piece of server.stdout ?? []) {
    text += String(piece);
    if (text.trimEnd().endsWith("\n}")) break;
  }
  const { disks } = JSON.parse(text) as { disks: { name: string; size: number; uri: string }[] };
  expect(disks.map(({ name, size }) => [name, size])).toEqual([["image", content.length - 512]]);
  return { uri: disks[0]?.uri ?? "", server };
}

describe("a disk in a repository", () => {
  test("is what it was for nbdcopy, qemu-img and qemu-io, several at once", async () => {
    const { uri } = await serve("--config", host.config);
    const [copy, converted] = [host.path("copy"), host.path("converted.qcow2")];
    const odd = [
      [1, 3],
      [131_071, 2],
      [3 * 1024 * 1024 - 1, 4096],
      [20 * 1024 * 1024 - 777, 300_001],
      [content.length - 512 - 5, 5],
    ].flatMap(([offset = 0, length = 0]) => ["-c", `read -v ${String(offset)} ${String(length)}`]);
    const [dump] = await Promise.all([
      run("qemu-io", ["-r", "-f", "raw", uri, ...odd], { maxBuffer: 64 * 1024 * 1024 }),
      run("nbdcopy", ["--connections=4", uri, copy]),
      run("qemu-img", ["convert", "-f", "raw", "-O", "qcow2", uri, converted]),
      run("qemu-img", ["compare", "-f", "raw", "-F", "raw", host.path("disk.raw"), uri]),
    ]);
    expect(readFileSync(copy).equals(content.subarray(0, content.length - 512))).toBe(true);
    const { stdout } = await run("qemu-img", ["compare", "-F", "raw", converted, host.path("disk.raw")]);
    expect(stdout).toContain("identical");
    const shown = [...dump.stdout.matchAll(/^([0-9a-f]{8,}): {2}((?:[0-9a-f]{2} ?)+)/gm)];
    expect(shown.length).toBeGreaterThan(1000);
    for (const [, offset = "", bytes = ""] of shown) {
      const read = Buffer.from(bytes.replaceAll(" ", ""), "hex");
      const at = Number.parseInt(offset, 16);
      expect(read.equals(content.subarray(at, at + read.length))).toBe(true);
    }
  });

  test("shows its holes", async () => {
    const { uri } = await serve("--config", host.config);
    const { stdout } = await run("nbdinfo", ["--map", "--json", uri]);
    expect(
      (JSON.parse(stdout) as { offset: number; type: number }[]).map(({ offset, type }) => [offset, type]),
    ).toEqual([
      [0, 0],
      [3 * 1024 * 1024, 3],
      [20 * 1024 * 1024, 0],
    ]);
  });

  test("is served from a replica with the key alone, at a given socket, again after a kill", async () => {
    const args = ["--repository", host.path("usb"), "--key-file", host.key, "--socket", host.path("nbd.sock")];
    const { server } = await serve(...args);
    servers.delete(server);
    server.kill("SIGKILL");
    await once(server, "close");
    expect(readdirSync(host.folder)).toContain("nbd.sock");
    const { uri } = await serve(...args);
    await run("nbdcopy", [uri, host.path("from-replica")]);
    expect(readFileSync(host.path("from-replica")).equals(content.subarray(0, content.length - 512))).toBe(true);
  });

  test("leaves nothing when it is told to stop, and ends well", async () => {
    const before = readdirSync(tmpdir());
    const { server, uri } = await serve("--config", host.config);
    const end = ended(server);
    servers.delete(server);
    server.kill();
    expect((await end).status).toBe(0);
    expect(
      readdirSync(tmpdir()).filter((name) => name.startsWith("stillpoint-nbd-") && !before.includes(name)),
    ).toEqual([]);
    await expect(run("nbdinfo", [uri])).rejects.toThrow(/nbdinfo/);
  });

  test("keeps its recovery point from being forgotten meanwhile", async () => {
    const [{ id }] = host.json("list", "--source", "disk") as [{ id: string }];
    const notices = (): string[] => readdirSync(host.path(`repository/readers/${id}`));
    const { server } = await serve("--config", host.config);
    expect(host.run("forget", id)).toMatchObject({ status: 2, stderr: expect.stringContaining("it is being read") });
    expect(notices()).toHaveLength(1);
    const end = ended(server);
    servers.delete(server);
    server.kill();
    await end;
    expect(notices()).toEqual([]);
  });

  test("that isn't there, or isn't a disk, is said", () => {
    const wrong = host.run("serve", "latest", "--source", "disk", "--disk", "vdb");
    expect([wrong.status, wrong.stderr]).toEqual([1, expect.stringContaining('has no disk "vdb".\nIt has "image"')]);
    const none = host.run("serve", "latest", "--source", "data");
    expect([none.status, none.stderr]).toEqual([1, expect.stringContaining("has no disks")]);
  });

  test("that is damaged can be read where it isn't, and the place is said", async () => {
    const broken = new Host();
    try {
      broken.set();
      writeFileSync(broken.path("disk.raw"), content);
      expect(broken.run("run", "all").status).toBe(0);
      const packs = broken.path("repository", "packs");
      const largest = readdirSync(packs, { recursive: true, encoding: "utf8" })
        .map((name) => broken.path("repository", "packs", name))
        .filter((name) => /[0-9a-f]{64}$/.test(name))
        .toSorted((a, b) => readFileSync(b).length - readFileSync(a).length);
      const bytes = readFileSync(largest[0] ?? "");
      bytes.fill(0x55, 1024 * 1024, 1024 * 1024 + 100);
      rmSync(largest[0] ?? "");
      writeFileSync(largest[0] ?? "", bytes);
      const server = startStillpoint([
        "serve",
        "latest",
        "--source",
        "disk",
        "--config",
        broken.config,
        "--socket",
        broken.path("s"),
      ]);
      servers.add(server);
      let said = "";
      server.stderr?.on("data", (piece: Buffer) => (said += piece.toString()));
      await once(server.stdout ?? server, "data");
      const uri = `nbd+unix:///?socket=${broken.path("s")}`;
      await expect(run("nbdcopy", [uri, "null:"])).rejects.toThrow(/Input\/output error/);
      const { stdout } = await run("qemu-io", ["-r", "-f", "raw", uri, "-c", "read 10M 1M"]);
      expect(stdout).toContain("read 1048576/1048576 bytes");
      expect(said).toMatch(/image: .*can't be|image: .*authentic|image: .*damaged|image: .*isn't/);
    } finally {
      broken.remove();
    }
  });
});
