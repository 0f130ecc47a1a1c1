import { execFile } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs/promises";
import * as net from "node:net";
import * as path from "node:path";
import { promisify } from "node:util";
import { setImmediate as nextTurn } from "node:timers/promises";
import fc from "fast-check";
import { describe, expect, it, onTestFinished } from "vitest";
import { NbdClient } from "../../src/nbd/client.ts";
import type { NbdExport } from "../../src/nbd/export.ts";
import { type NbdAddress, NbdServer } from "../../src/nbd/server.ts";
import { rejection } from "../helpers/rejection.ts";
import { tempDir } from "../helpers/temp-dir.ts";
import { greeting, optionReply, simpleReply, u16, u32, u64 } from "./scripted-server.ts";

const run = promisify(execFile);
const allocation = "base:allocation";
const kib = 1024;

/** 3 MiB and some: data, 1 MiB of hole, data. */
const content = Buffer.alloc(3 * 1024 * kib + 700);
for (let at = 0; at < content.length; at += 4) content.writeUInt32LE((at * 2654435761) >>> 0, at);
content.fill(0, 1024 * kib, 2048 * kib);

const disk: NbdExport = {
  name: "disk",
  description: "a disk",
  size: content.length,
  read: (offset, length) => {
    const bytes = content.subarray(offset, offset + length);
    return Promise.resolve(bytes.every((byte) => byte === 0) ? undefined : bytes);
  },
  extents: (offset, length) => {
    const [end, flags] =
      offset < 1024 * kib ? [1024 * kib, 0] : offset < 2048 * kib ? [2048 * kib, 3] : [content.length, 0];
    return Promise.resolve([{ length: Math.min(length, end - offset), flags }]);
  },
};

interface Served {
  readonly server: NbdServer;
  readonly socket: string;
}

async function serve(exports: readonly NbdExport[] = [disk]): Promise<Served> {
  const socket = path.join(await tempDir(), "nbd.sock");
  return { server: await listen({ socket }, exports), socket };
}

async function listen(address: NbdAddress, exports: readonly NbdExport[] = [disk]): Promise<NbdServer> {
  const server = await NbdServer.listen({ exports, address });
  onTestFinished(async () => await server.close());
  return server;
}

async function connect(socket: string, name = "disk"): Promise<NbdClient> {
  const client = await NbdClient.connect({ socket, export: name, contexts: [allocation] });
  onTestFinished(async () => await client.close());
  return client;
}

describe("our own client", () => {
  it("reads any range, many at once, and sees the hole", async () => {
    const { socket } = await serve();
    const client = await connect(socket);
    expect([client.size, client.readOnly, client.multiConn]).toEqual([content.length, true, true]);
    const range = fc.tuple(fc.nat(content.length), fc.nat(2 * 1024 * kib));
    await Promise.all(
      fc.sample(range, 100).map(async ([offset, most]) => {
        const buffer = Buffer.alloc(Math.min(most, content.length - offset), 0xaa);
        await client.read(offset, buffer);
        expect(buffer.equals(content.subarray(offset, offset + buffer.length))).toBe(true);
      }),
    );
    expect(await client.blockStatus(allocation, 100, content.length - 100)).toEqual([
      { length: 1024 * kib - 100, flags: 0 },
      { length: 1024 * kib, flags: 3 },
      { length: 1024 * kib + 700, flags: 0 },
    ]);
  });

  it("gets the first export for no name, and none for a wrong one", async () => {
    const { socket } = await serve([disk, { ...disk, name: "other", size: 4096 }]);
    expect((await connect(socket, "")).size).toBe(content.length);
    expect((await connect(socket, "other")).size).toBe(4096);
    expect((await rejection(connect(socket, "third"))).message).toContain("there is no such export");
  });

  it("hears why a read failed, and goes on", async () => {
    let fails = true;
    const failing: NbdExport = {
      ...disk,
      read: async (...range) => {
        if (fails) throw new Error("the blob 12ab is in no pack");
        return await disk.read(...range);
      },
    };
    const { socket } = await serve([failing]);
    const client = await connect(socket);
    expect((await rejection(client.read(0, Buffer.alloc(10)))).message).toContain("EIO, the blob 12ab is in no pack");
    fails = false;
    const buffer = Buffer.alloc(10);
    await client.read(5, buffer);
    expect(buffer.equals(content.subarray(5, 15))).toBe(true);
  });

  it("hears that the server shuts down, whatever it waits for", async () => {
    const slow: NbdExport = {
      ...disk,
      read: async (_offset, _length, signal) => {
        if (!signal.aborted) await once(signal, "abort");
        throw new Error("broken off");
      },
    };
    const { server, socket } = await serve([slow]);
    const client = await connect(socket);
    const waiting = Array.from({ length: 40 }, () => rejection(client.read(0, Buffer.alloc(1))));
    await nextTurn();
    await server.close();
    for (const error of await Promise.all(waiting)) expect(error.message).toMatch(/ESHUTDOWN|closed|lost/);
    expect(await fs.readdir(path.dirname(socket))).toEqual([]);
  });
});

describe("clients of others", () => {
  it("nbdinfo lists the exports and the hole", async () => {
    const { server } = await serve([disk, { ...disk, name: "disk/second", size: 4096 }]);
    const { stdout } = await run("nbdinfo", ["--list", "--json", server.uri({ name: "" })]);
    const { exports } = JSON.parse(stdout) as { exports: Record<string, unknown>[] };
    expect(exports.map((one) => [one["export-name"], one["description"], one["export-size"]])).toEqual([
      ["disk", "a disk", content.length],
      ["disk/second", "a disk", 4096],
    ]);
    expect(exports[0]).toMatchObject({ is_read_only: true, can_multi_conn: true, can_cache: true, can_df: false });
    const map = await run("nbdinfo", ["--map", "--json", server.uri(disk)]);
    expect(JSON.parse(map.stdout)).toMatchObject([
      { offset: 0, length: 1024 * kib, type: 0 },
      { offset: 1024 * kib, length: 1024 * kib, type: 3 },
      { offset: 2048 * kib, length: 1024 * kib + 700, type: 0 },
    ]);
  });

  it.each(["by UNIX socket", "by TCP"])("nbdcopy copies it whole: %s", async (way) => {
    const folder = await tempDir();
    const server = await listen(way === "by TCP" ? { port: 0 } : { socket: path.join(folder, "nbd.sock") });
    await run("nbdcopy", [server.uri(disk), path.join(folder, "copy")]);
    expect((await fs.readFile(path.join(folder, "copy"))).equals(content)).toBe(true);
  });

  it("qemu-img finds it equal, several at once", async () => {
    const { server, socket } = await serve();
    const file = path.join(path.dirname(socket), "disk.raw");
    await fs.writeFile(file, content);
    const compare = ["compare", "-f", "raw", "-F", "raw", file, server.uri(disk)];
    // Drivers count in whole sectors: the last one is filled up.
    await fs.truncate(file, Math.ceil(content.length / 512) * 512);
    const runs = await Promise.all(Array.from({ length: 3 }, async () => await run("qemu-img", compare)));
    expect(runs.map(({ stdout }) => stdout)).toEqual(Array(3).fill("Images are identical.\n"));
  });
});

/** Sends bytes as a client, and collects what comes back until the server hangs up, or there are `until` bytes. */
async function talk(socket: string, bytes: Uint8Array, until = Number.POSITIVE_INFINITY): Promise<Buffer> {
  const peer = net.connect(socket);
  const chunks: Buffer[] = [];
  peer.on("error", () => undefined);
  peer.write(bytes);
  for await (const chunk of peer) {
    chunks.push(chunk as Buffer);
    if (Buffer.concat(chunks).length >= until) break;
  }
  peer.destroy();
  return Buffer.concat(chunks);
}

function option(number: number, data: Uint8Array = Buffer.alloc(0)): Buffer {
  return Buffer.concat([Buffer.from("IHAVEOPT"), u32(number), u32(data.length), data]);
}

function request(command: number, cookie: number, offset: number | bigint, length: number, flags = 0): Buffer {
  return Buffer.concat([u32(0x25609513), u16(flags), u16(command), u64(cookie), u64(offset), u32(length)]);
}

function text(words: string): Buffer {
  return Buffer.concat([u32(words.length), Buffer.from(words)]);
}

const leave = option(2);
const disconnect = request(2, 0, 0, 0);

describe("the protocol's corners", () => {
  it("EXPORT_NAME, with zeros and without, and simple replies one after the other", async () => {
    const { socket } = await serve();
    for (const flags of [1, 3]) {
      const reads = [request(0, 1, 2048 * kib, 600 * kib), request(0, 2, 1024 * kib, 8), disconnect];
      const said = await talk(socket, Buffer.concat([u32(flags), option(1, Buffer.from("disk")), ...reads]));
      const zeros = flags === 1 ? 124 : 0;
      const expected = [
        greeting(),
        u64(content.length),
        u16(0x503),
        Buffer.alloc(zeros),
        simpleReply(0, 1, content.subarray(2048 * kib, 2648 * kib)),
        simpleReply(0, 2, Buffer.alloc(8)),
      ];
      expect(said.equals(Buffer.concat(expected))).toBe(true);
    }
  });

  it("EXPORT_NAME of something else hangs up", async () => {
    const { socket } = await serve();
    expect(await talk(socket, Buffer.concat([u32(3), option(1, Buffer.from("no"))]))).toEqual(greeting());
  });

  it.each<[string, Buffer, number]>([
    ["TLS", option(5), 2 ** 31 + 2],
    ["an unknown option", option(77, Buffer.alloc(100)), 2 ** 31 + 1],
    ["a list with data", option(3, Buffer.alloc(1)), 2 ** 31 + 3],
    ["structured replies with data", option(8, Buffer.alloc(1)), 2 ** 31 + 3],
    ["contexts before structured replies", option(10, Buffer.concat([text("disk"), u32(0)])), 2 ** 31 + 3],
    ["an option too long", option(7, Buffer.alloc(100_000)), 2 ** 31 + 9],
    ["a name longer than the option", option(7, Buffer.concat([u32(2 ** 32 - 1), u16(0)])), 2 ** 31 + 3],
    ["more wishes than the option holds", option(6, Buffer.concat([text("disk"), u16(60_000)])), 2 ** 31 + 3],
    ["an export that isn't there", option(6, Buffer.concat([text("no"), u16(0)])), 2 ** 31 + 6],
  ])("refuses %s, and goes on", async (_, bytes, error) => {
    const { socket } = await serve();
    const said = await talk(socket, Buffer.concat([u32(3), bytes, leave]));
    const after = said.subarray(greeting().length);
    expect(after.readUInt32BE(12)).toBe(error);
    expect(after.subarray(20 + after.readUInt32BE(16)).equals(optionReply(2, 1))).toBe(true);
  });

  it.each<[string, Buffer, number]>([
    ["a write", Buffer.concat([request(1, 9, 0, 512), Buffer.alloc(512, 1)]), 1],
    ["a trim", request(4, 9, 0, 512), 1],
    ["zeroes", request(6, 9, 0, 512), 1],
    ["a read past the end", request(0, 9, content.length - 1, 2), 22],
    ["a read far past the end", request(0, 9, 2n ** 64n - 1n, 2), 22],
    ["a read with flags", request(0, 9, 0, 2, 4), 22],
    ["a flush", request(3, 9, 0, 0), 22],
    ["an unknown command", request(99, 9, 0, 0), 22],
    ["a status without a context", request(7, 9, 0, 512), 22],
  ])("answers %s with an error, and goes on", async (_, bytes, error) => {
    const { socket } = await serve();
    const go = option(7, Buffer.concat([text("disk"), u16(0)]));
    for (const structured of [true, false]) {
      const options = structured ? [option(8), go] : [go];
      const said = await talk(socket, Buffer.concat([u32(3), ...options, bytes, request(5, 10, 0, 9), disconnect]));
      const replies = said.subarray(18 + (structured ? 20 : 0) + 20 + 12 + 20);
      const [header, done] = structured ? [20, 20] : [4, 16];
      expect(replies.readUInt32BE(header)).toBe(error);
      // The cache request after it went well.
      const last = replies.subarray(-done);
      expect([last.readUInt32BE(4), last.readBigUInt64BE(8)]).toEqual([structured ? 2 ** 16 : 0, 10n]);
    }
  });

  it("one extent where one is asked for", async () => {
    const { socket } = await serve();
    const options = [
      option(8),
      option(10, Buffer.concat([text("disk"), u32(1), text(allocation)])),
      option(7, Buffer.concat([text("disk"), u16(0)])),
    ];
    const said = await talk(
      socket,
      Buffer.concat([u32(3), ...options, request(7, 1, 0, content.length, 8), disconnect]),
    );
    const reply = said.subarray(-32);
    expect([reply.readUInt16BE(6), reply.readUInt32BE(24), reply.readUInt32BE(28)]).toEqual([5, 1024 * kib, 0]);
  });

  it("contexts count only for the export that they were asked for", async () => {
    const { socket } = await serve([disk, { ...disk, name: "other" }]);
    const options = [
      option(8),
      option(10, Buffer.concat([text("disk"), u32(1), text(allocation)])),
      option(7, Buffer.concat([text("other"), u16(0)])),
    ];
    const said = await talk(socket, Buffer.concat([u32(3), ...options, request(7, 1, 0, 512), disconnect]));
    expect(said.toString()).toContain("no metadata context");
  });
});

describe("hostile clients", () => {
  it("that send anything at all don't hurt the others", async () => {
    const { socket } = await serve();
    const client = await connect(socket);
    const bytes = (most: number): fc.Arbitrary<Buffer> =>
      fc.uint8Array({ maxLength: most }).map((one) => Buffer.from(one));
    const someOption = fc.tuple(fc.nat(12), bytes(60)).map(([number, data]) => option(number, data));
    const lying = fc
      .tuple(fc.nat(12), fc.nat())
      .map(([number, length]) => Buffer.concat([Buffer.from("IHAVEOPT"), u32(number), u32(length)]));
    const someRequest = fc
      .tuple(fc.nat(9), fc.nat(3), fc.nat(content.length + 10), fc.nat(70_000), fc.constantFrom(0, 1, 4, 8))
      .map(([command, cookie, offset, length, flags]) => request(command, cookie, offset, length, flags));
    const go = fc.constant(option(7, Buffer.concat([text("disk"), u16(0)])));
    const session = fc.oneof(
      fc.array(bytes(200), { maxLength: 4 }),
      fc
        .tuple(fc.constant(u32(3)), fc.array(fc.oneof(someOption, lying, go), { maxLength: 8 }))
        .map(([flags, all]) => [flags, ...all]),
      fc
        .tuple(
          fc.constant(u32(3)),
          fc.subarray([option(8)]),
          go,
          fc.array(fc.oneof(someRequest, bytes(30)), { maxLength: 30 }),
        )
        .map(([flags, structured, one, all]) => [flags, ...structured, one, ...all]),
    );
    const hostile = fc.asyncProperty(session, async (pieces) => {
      const peer = net.connect(socket);
      peer.on("error", () => undefined);
      peer.resume();
      peer.end(Buffer.concat(pieces));
      await once(peer, "close");
    });
    await fc.assert(hostile, { numRuns: 300 });
    const buffer = Buffer.alloc(1000);
    await client.read(0, buffer);
    expect(buffer.equals(content.subarray(0, 1000))).toBe(true);
  });

  it("that ask and never take the answers cost a few MiB at most", async () => {
    let handedOut = 0;
    const counting: NbdExport = {
      ...disk,
      size: 2 ** 40,
      read: (_, length) => {
        handedOut += length;
        return Promise.resolve(Buffer.alloc(length, 1));
      },
    };
    const { socket } = await serve([counting]);
    const peer = net.connect(socket);
    peer.on("error", () => undefined);
    peer.pause();
    const go = [u32(3), option(8), option(7, Buffer.concat([text("disk"), u16(0)]))];
    const reads = Array.from({ length: 2000 }, (_, cookie) => request(0, cookie, 0, 2 ** 32 - 1));
    peer.write(Buffer.concat([...go, ...reads]));
    // Another client is served all the while.
    const client = await connect(socket);
    for (let count = 0; count < 200; count++) await client.read(0, Buffer.alloc(1));
    expect(handedOut).toBeGreaterThan(0);
    expect(handedOut).toBeLessThan(16 * 1024 * kib);
    peer.destroy();
  });

  it("that list for ever wait until they read what they asked", async () => {
    const many = Array.from({ length: 500 }, (_, number) => ({ ...disk, name: `${"long".repeat(200)}${number}` }));
    const { socket } = await serve(many);
    const peer = net.connect(socket);
    peer.on("error", () => undefined);
    const lists = Buffer.concat([u32(3), ...Array.from({ length: 50 }, () => option(3)), leave]);
    peer.write(lists);
    let length = 0;
    for await (const bytes of peer) length += (bytes as Buffer).length;
    expect(length).toBeGreaterThan(50 * 500 * 800);
  });
});

describe("listening", () => {
  it("is for this user only", async () => {
    const { socket } = await serve();
    expect((await fs.stat(socket)).mode & 0o777).toBe(0o600);
  });

  it("says that the place is taken", async () => {
    const { socket } = await serve();
    expect((await rejection(NbdServer.listen({ exports: [disk], address: { socket } }))).message).toContain("in use");
  });

  it("says that the folder isn't there", async () => {
    const address = { socket: "/nonexistent/nbd.sock" };
    expect((await rejection(NbdServer.listen({ exports: [disk], address }))).message).toContain(
      "/nonexistent/nbd.sock",
    );
  });
});
