import * as fs from "node:fs/promises";
import * as path from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isStillpointError } from "../../src/errors.ts";
import { NbdClient } from "../../src/nbd/client.ts";
import { rejection } from "../helpers/rejection.ts";
import { tempDir } from "../helpers/temp-dir.ts";
import { startServer } from "./real-server.ts";
import {
  agreement,
  chunk,
  exportInfo,
  greeting,
  optionReply,
  scriptedServer,
  simpleReply,
  u16,
  u32,
  u64,
} from "./scripted-server.ts";

const contexts = ["base:allocation"];

async function connect(socket: string, timeout = 60_000): Promise<NbdClient> {
  return await NbdClient.connect({ socket, export: "disk", contexts, timeout });
}

/** Bytes that a client sends before its first request: flags, and three options with the export's name and the context. */
const handshakeLength = 4 + 16 + (16 + 8 + 4 + 4 + 15) + (16 + 4 + 4 + 2);

/** A client of a server that sends one of `answers` for each request, whatever it is. */
async function clientOf(...answers: readonly (readonly Buffer[])[]): Promise<NbdClient> {
  const socket = await scriptedServer(agreement(65536), (peer) => {
    let seen = 0;
    let sent = 0;
    peer.on("data", (bytes) => {
      seen += bytes.length;
      for (; sent < answers.length && seen >= handshakeLength + 28 * (sent + 1); sent++)
        peer.write(Buffer.concat(answers[sent] ?? []));
    });
  });
  return await connect(socket);
}

function requireStillpointError(error: unknown): void {
  if (!isStillpointError(error)) throw error;
}

function data(offset: number, bytes: Buffer): Buffer {
  return Buffer.concat([u64(offset), bytes]);
}

describe("a real server", () => {
  it.each(["qemu-nbd", "nbdkit", "nbdkit without structured replies"] as const)(
    "is read as the file is: %s",
    async (kind) => {
      const folder = await tempDir();
      const file = path.join(folder, "disk.raw");
      const content = Buffer.alloc(3 * 1024 * 1024 + 512);
      for (let at = 0; at < content.length; at += 4) content.writeUInt32LE((at * 2654435761) >>> 0, at);
      content.fill(0, 1024 * 1024, 2 * 1024 * 1024);
      const handle = await fs.open(file, "w");
      await handle.write(content, 0, 1024 * 1024, 0);
      await handle.write(content, 2 * 1024 * 1024, content.length - 2 * 1024 * 1024, 2 * 1024 * 1024);
      await handle.close();
      const client = await connect(await startServer(kind, folder, file));
      try {
        expect(client.size).toBe(content.length);
        expect(client.readOnly).toBe(true);
        const ranges = fc.sample(
          fc.tuple(fc.nat(content.length), fc.nat(200_000)).map(([at, n]) => [at, Math.min(n, content.length - at)]),
          60,
        );
        await Promise.all(
          ranges.map(async ([offset = 0, length = 0]) => {
            const buffer = Buffer.alloc(length, 0xaa);
            await client.read(offset, buffer);
            expect(buffer.equals(content.subarray(offset, offset + length))).toBe(true);
          }),
        );
        const extents = client.contexts.map((context) => client.blockStatus(context, 4096, 2 * 1024 * 1024));
        const expected = [
          { length: 1024 * 1024 - 4096, flags: 0 },
          { length: 1024 * 1024, flags: 3 },
          { length: 4096, flags: 0 },
        ];
        expect(await Promise.all(extents)).toEqual(kind === "nbdkit without structured replies" ? [] : [expected]);
      } finally {
        await client.close();
      }
    },
  );

  it("says that there is no such export", async () => {
    const folder = await tempDir();
    await fs.writeFile(path.join(folder, "disk.raw"), Buffer.alloc(512));
    const socket = await startServer("qemu-nbd", folder, path.join(folder, "disk.raw"));
    const error = await rejection(NbdClient.connect({ socket, export: "other" }));
    expect(isStillpointError(error, "source_missing")).toBe(true);
    expect(error.message).toContain('no such thing as the export "other"');
  });
});

describe("connecting", () => {
  it("says that nobody listens", async () => {
    const error = await rejection(connect("/nonexistent/nbd.sock"));
    expect(isStillpointError(error, "source_missing")).toBe(true);
    expect(error.message).toContain("nobody listens");
  });

  it("gives up on a server that says nothing", async () => {
    expect((await rejection(connect(await scriptedServer([]), 30))).message).toContain("in time");
  });

  it("ends with its signal, and so does everything that waits later", async () => {
    const stop = new AbortController();
    const silent = await scriptedServer([]);
    const connecting = rejection(NbdClient.connect({ socket: silent, export: "", signal: stop.signal }));
    const socket = await scriptedServer(agreement(4096));
    const client = await NbdClient.connect({ socket, export: "", contexts, signal: stop.signal });
    const reading = rejection(client.read(0, Buffer.alloc(512)));
    stop.abort();
    expect(isStillpointError(await connecting, "cancelled")).toBe(true);
    expect(isStillpointError(await reading, "cancelled")).toBe(true);
    expect(isStillpointError(await rejection(client.read(0, Buffer.alloc(1))), "cancelled")).toBe(true);
    await client.close();
  });

  it.each<[string, Buffer[], string]>([
    ["no NBD server", [Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n")], "greeting"],
    ["the oldstyle handshake", [Buffer.from("NBDMAGIC\x00\x00\x42\x02\x81\x86\x12\x53\0\0", "latin1")], "oldstyle"],
    ["no fixed newstyle", [greeting(2)], "fixed newstyle"],
    ["a reply with a wrong magic", [greeting(), Buffer.alloc(20, 1)], "wrong magic"],
    ["a reply to another option", [greeting(), optionReply(7, 1)], "another option"],
    ["a reply of absurd length", [greeting(), optionReply(8, 1).subarray(0, 16), u32(2 ** 31)], "too long"],
    [
      "a context that nobody asked for",
      [greeting(), optionReply(8, 1), optionReply(10, 4, Buffer.from("\0\0\0\x01other"))],
      "wasn't asked",
    ],
    [
      "an export without an end",
      [...agreement(1).slice(0, 4), ...Array.from({ length: 80 }, () => exportInfo(1))],
      "wrong form",
    ],
    ["an export without a size", [...agreement(1).slice(0, 4), optionReply(7, 1)], "wrong form"],
    ["an export of absurd size", [...agreement(1).slice(0, 4), exportInfo(2n ** 63n)], "absurd size"],
    ["a short description", [...agreement(1).slice(0, 4), optionReply(7, 3, u16(0))], "wrong form"],
    [
      "a refusal with its reason",
      [...agreement(1).slice(0, 4), optionReply(7, 2 ** 31 + 2, Buffer.from("not today"))],
      "not today",
    ],
  ])("refuses %s", async (_, bytes, words) => {
    const error = await rejection(connect(await scriptedServer(bytes)));
    expect(isStillpointError(error, "vm_failed")).toBe(true);
    expect(error.message).toContain(words);
  });

  it("says when the server hangs up in the middle", async () => {
    const socket = await scriptedServer([greeting()], (peer) => peer.end());
    expect((await rejection(connect(socket))).message).toContain("closed the connection");
  });
});

describe("replies", () => {
  const half = Buffer.alloc(512, 1);

  it("may come in pieces, in any order, with holes", async () => {
    const client = await clientOf([
      chunk(0, 1, 1, data(1536, Buffer.alloc(512, 4))),
      chunk(0, 2, 1, Buffer.concat([u64(512), u32(1024)])),
      chunk(0, 1, 1, data(0, half)),
      chunk(1, 0, 1),
    ]);
    const buffer = Buffer.alloc(2048, 0xaa);
    await client.read(0, buffer);
    expect(buffer).toEqual(Buffer.concat([half, Buffer.alloc(1024), Buffer.alloc(512, 4)]));
    await client.close();
  });

  it("may say that one request failed; the connection goes on", async () => {
    const text = Buffer.from("medium worn out");
    const client = await clientOf([
      chunk(0, 2 ** 15 + 2, 1, Buffer.concat([u32(5), u16(text.length), text, u64(0)])),
      chunk(1, 0, 1),
      simpleReply(22, 2),
    ]);
    const first = rejection(client.read(0, Buffer.alloc(1024)));
    const second = rejection(client.read(0, Buffer.alloc(1024)));
    expect((await first).message).toContain("EIO, medium worn out");
    expect((await second).message).toContain("EINVAL");
    expect(isStillpointError(await first, "vm_failed")).toBe(true);
    await client.close();
  });

  it("describe extents in less or more than was asked", async () => {
    const extents = (...values: number[]): Buffer => Buffer.concat([7, ...values].map(u32));
    const client = await clientOf(
      [chunk(1, 5, 1, extents(512, 0, 512, 0, 512, 3))],
      [chunk(1, 5, 2, extents(8192, 3))],
    );
    expect(await client.blockStatus("base:allocation", 0, 4096)).toEqual([
      { length: 1024, flags: 0 },
      { length: 3072, flags: 3 },
    ]);
    expect((await rejection(client.blockStatus("qemu:dirty-bitmap:x", 0, 512))).message).toContain("not granted");
    await client.close();
  });

  it.each<[string, Buffer[]]>([
    ["garbage", [Buffer.alloc(64, 0x55)]],
    ["an answer to nobody", [chunk(1, 1, 99, data(0, Buffer.alloc(1024)))]],
    ["an end before all was sent", [chunk(1, 1, 1, data(0, half))]],
    ["nothing at all", [chunk(1, 0, 1)]],
    ["the same data twice", [chunk(0, 1, 1, data(0, half)), chunk(1, 1, 1, data(256, half))]],
    ["data before the range", [chunk(1, 1, 1, data(0, Buffer.alloc(2048)))]],
    ["data far outside", [chunk(1, 1, 1, Buffer.concat([Buffer.alloc(8, 0xff), half]))]],
    ["a chunk of data without data", [chunk(1, 1, 1, u64(0))]],
    ["a hole too long", [chunk(1, 2, 1, Buffer.concat([u64(0), u32(2 ** 32 - 1)]))]],
    ["an empty hole", [chunk(1, 2, 1, Buffer.concat([u64(0), u32(0)]))]],
    ["a hole of another form", [chunk(1, 2, 1, Buffer.alloc(13))]],
    ["an error of absurd length", [chunk(1, 2 ** 15 + 1, 1).subarray(0, 16), u32(2 ** 31)]],
    ["an error whose text is longer than it", [chunk(1, 2 ** 15 + 1, 1, Buffer.concat([u32(5), u16(600)]))]],
    ["a chunk of an unknown kind", [chunk(1, 99, 1)]],
    ["a simple reply with data", [simpleReply(0, 1, Buffer.alloc(1024))]],
    ["extents for a read", [chunk(1, 5, 1, Buffer.concat([u32(7), u32(1024), u32(0)]))]],
    [
      "a thousand pieces and more",
      Array.from({ length: 1025 }, (_, n) => chunk(0, 2, 1, Buffer.concat([u64(2 * n), u32(1)]))),
    ],
  ])("of a hostile server are refused: %s", async (name, bytes) => {
    const client = await clientOf(bytes);
    const length = name.startsWith("a thousand") ? 4096 : 1024;
    const [first, second] = [
      rejection(client.read(0, Buffer.alloc(length))),
      rejection(client.read(0, Buffer.alloc(1))),
    ];
    expect((await first).message).toContain("broke the protocol");
    expect(await second).toBe(await first);
    expect(await rejection(client.blockStatus("base:allocation", 0, 512))).toBe(await first);
    await client.close();
  });

  it.each<[string, Buffer]>([
    ["of a context that wasn't agreed upon", Buffer.concat([u32(8), u32(512), u32(0)])],
    ["that are empty", Buffer.concat([u32(7), u32(0), u32(0)])],
    ["cut off", Buffer.concat([u32(7), u32(1), u16(0)])],
    ["none", u32(7)],
  ])("with extents %s are refused", async (_, payload) => {
    const client = await clientOf([chunk(1, 5, 1, payload)]);
    expect((await rejection(client.blockStatus("base:allocation", 0, 512))).message).toContain("broke the protocol");
    await client.close();
  });

  it("that never come end with the connection, for everyone", async () => {
    let peer: { destroy(): void } | undefined;
    const socket = await scriptedServer(agreement(4096), (one) => {
      peer = one;
    });
    const client = await connect(socket);
    const waiting = [client.read(0, Buffer.alloc(4096)), client.blockStatus("base:allocation", 0, 1)].map(rejection);
    peer?.destroy();
    for (const error of await Promise.all(waiting)) {
      expect(isStillpointError(error, "vm_failed")).toBe(true);
      expect(error.message).toMatch(/closed the connection|was lost/);
    }
    await client.close();
  });

  it("whatever they are: the client ends or answers, and never fills what it was not given", async () => {
    const junk = fc.array(
      fc.oneof(
        fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
        fc
          .tuple(
            fc.nat(3),
            fc.constantFrom(0, 1, 2, 5, 32769, 32770, 7),
            fc.integer({ min: 1, max: 3 }),
            fc.uint8Array({ maxLength: 40 }),
          )
          .map(([flags, type, cookie, bytes]) => chunk(flags, type, cookie, Buffer.from(bytes))),
        fc
          .tuple(fc.nat(3), fc.nat(1100), fc.nat(1100))
          .map(([flags, at, n]) => chunk(flags, 1, 1, data(at, Buffer.alloc(n, 9)))),
        fc
          .tuple(fc.nat(3), fc.nat(1100), fc.nat(1100))
          .map(([flags, at, n]) => chunk(flags, 2, 1, Buffer.concat([u64(at), u32(n)]))),
      ),
      { maxLength: 6 },
    );
    await fc.assert(
      fc.asyncProperty(junk, async (pieces) => {
        const socket = await scriptedServer([...agreement(4096), ...pieces], (peer) => peer.end());
        const whole = Buffer.alloc(1024 + 64, 0xee);
        const ended = await connect(socket)
          .then(async (client) => {
            await client.read(0, whole.subarray(32, 32 + 1024)).catch(requireStillpointError);
            await client.close();
          })
          .catch(requireStillpointError);
        expect(ended).toBeUndefined();
        expect(whole.subarray(0, 32).equals(Buffer.alloc(32, 0xee))).toBe(true);
        expect(whole.subarray(32 + 1024).equals(Buffer.alloc(32, 0xee))).toBe(true);
      }),
      { numRuns: 150 },
    );
  });
});

it("refuses to read past the end", async () => {
  const client = await connect(await scriptedServer(agreement(4096)));
  expect(isStillpointError(await rejection(client.read(4000, Buffer.alloc(97))), "internal")).toBe(true);
  await client.close();
});
