/** Servers that break the protocol: every call ends with a clear error, soon, and nothing is taken for more than it is. */

import { describe, expect, test } from "vitest";
import { isStillpointError } from "../../../../src/errors.ts";
import { string, u32, u64 } from "../../../../src/host/big-endian.ts";
import { packetTypes as types, statusCodes as codes } from "../../../../src/storage/drivers/sftp/protocol.ts";
import { SftpStorage } from "../../../../src/storage/drivers/sftp/sftp-storage.ts";
import { collect } from "../../../helpers/collect.ts";
import { ManualClock } from "../../../helpers/manual-clock.ts";
import { rejection } from "../../../helpers/rejection.ts";
import { greeting, packet, type Request, type Script, scriptedServer, status } from "../../../helpers/scripted-sftp.ts";
import { connectTo } from "../../../helpers/sftp.ts";

function storageOn(script: Script, clock = new ManualClock(), moved?: () => void) {
  const servers: ReturnType<typeof scriptedServer>[] = [];
  const connect = async () => {
    const server = scriptedServer(script);
    servers.push(server);
    return await connectTo(server, clock, moved);
  };
  return { storage: new SftpStorage({ location: "replica", path: "/store", clock, connect }), servers, clock };
}

const file = Buffer.concat([u32(0x0d), u64(5), u32(0o100400), u32(1), u32(2)]);
const folder = Buffer.concat([u32(0x0d), u64(0), u32(0o040700), u32(1), u32(2)]);
const handle = ({ id }: Request): Buffer => packet(types.handle, u32(id), string("h"));
const named = ({ id }: Request, ...names: string[]): Buffer =>
  packet(types.name, u32(id), u32(names.length), ...names.flatMap((name) => [string(name), string(""), file]));

/** A decent server with one object of five bytes everywhere, but for what `lie` answers instead. */
function decentBut(lie: (request: Request) => Uint8Array | undefined): Script {
  return {
    extensions: ["posix-rename@openssh.com"],
    answer: (request) => {
      const instead = lie(request);
      if (instead !== undefined) return instead;
      const { type, id } = request;
      switch (type) {
        case types.open:
        case types.opendir:
          return handle(request);
        case types.fstat:
        case types.stat:
        case types.lstat:
          return packet(types.attrs, u32(id), file);
        case types.read:
          return packet(types.data, u32(id), string("12345"));
        case types.readdir:
          return status(id, codes.endOfFile);
        default:
          return status(id, codes.ok);
      }
    },
  };
}

describe("a greeting that isn't one", () => {
  test.each([
    ["text of a login script", Buffer.from("Welcome to host7, last login: today\n"), 'it sent text ("Welc"…)'],
    ["an absurd length", u32(2 ** 31), "a packet of 2147483648 bytes"],
    ["another version", packet(types.version, u32(2)), "version 2"],
    ["a status", status(0, codes.failure), "greeted at the wrong time"],
    ["half a version", packet(types.version, Buffer.from([0, 0])), "ends within a field"],
    ["half an extension", packet(types.version, u32(3), string("x")), "ends within a field"],
    ["twice", Buffer.concat([greeting(), greeting()]), "greeted at the wrong time"],
  ])("%s", async (_, bytes, message) => {
    const { storage, servers } = storageOn({ greeting: bytes });
    const error = await rejection(storage.get("a"));
    expect(error).toMatchObject({ code: "storage_failed" });
    expect(String(error)).toContain(message);
    expect(servers[0]?.killed).toBe(true);
  });

  test("none at all: given up by the clock", async () => {
    const { storage, clock } = storageOn({ greeting: Buffer.alloc(0) });
    expect(await clock.runUntil(rejection(storage.get("a")))).toMatchObject({ code: "storage_unreachable" });
    expect(clock.monotonic()).toBeLessThan(200_000);
  });
});

describe("answers that can't be right", () => {
  test.each<[string, (request: Request) => Uint8Array | undefined]>([
    ["to a request that nobody made", ({ id }) => status(id + 1000, codes.ok)],
    ["of an unknown type", ({ id }) => packet(77, u32(id))],
    ["yes instead of a handle", ({ type, id }) => (type === types.open ? status(id, codes.ok) : undefined)],
    [
      "data instead of a handle",
      ({ type, id }) => (type === types.open ? packet(types.data, u32(id), string("x")) : undefined),
    ],
    [
      "an endless handle",
      ({ type, id }) => (type === types.open ? packet(types.handle, u32(id), string("x".repeat(257))) : undefined),
    ],
    [
      "more data than asked for",
      ({ type, id }) => (type === types.read ? packet(types.data, u32(id), string("x".repeat(100_000))) : undefined),
    ],
    ["no data", ({ type, id }) => (type === types.read ? packet(types.data, u32(id), string("")) : undefined)],
    [
      "data with a length of its own",
      ({ type, id }) => (type === types.read ? packet(types.data, u32(id), u32(2 ** 31)) : undefined),
    ],
    [
      "attributes cut short",
      ({ type, id }) => (type === types.fstat ? packet(types.attrs, u32(id), u32(1)) : undefined),
    ],
    ["an absurd length amid all", () => u32(2 ** 32 - 1)],
    ["nothing but an id", ({ id }) => packet(types.status, u32(id))],
    ["not even an id", () => packet(types.status)],
  ])("%s", async (_, lie) => {
    const { storage, servers } = storageOn(decentBut(lie));
    const all = [storage.get("a"), storage.get("b"), storage.get("c", { offset: 0, length: 3 })];
    for (const error of await Promise.all(all.map(rejection))) expect(error).toMatchObject({ code: "storage_failed" });
    expect(servers.every(({ killed }) => killed)).toBe(true);
  });

  test("a size beyond all objects is refused before memory is taken for it", async () => {
    const huge = Buffer.concat([u32(0x05), u64(2 ** 52), u32(0o100400)]);
    const { storage } = storageOn(
      decentBut(({ type, id }) => (type === types.fstat ? packet(types.attrs, u32(id), huge) : undefined)),
    );
    expect(await rejection(storage.get("a"))).toMatchObject({ code: "storage_failed", retryable: false });
  });

  test("an object that is shorter than its size fails, and is never filled up", async () => {
    const lie = ({ type, id, fields }: Request): Uint8Array | undefined => {
      if (type === types.fstat) return packet(types.attrs, u32(id), Buffer.concat([u32(0x05), u64(9), u32(0o100400)]));
      if (type !== types.read) return undefined;
      fields.bytes();
      return fields.u64() < 5 ? undefined : status(id, codes.endOfFile);
    };
    const { storage } = storageOn(decentBut(lie));
    expect(String(await rejection(storage.get("a")))).toContain("it has only 5 there");
  });

  test("a server that sends a byte at a time is slow, not wrong", async () => {
    let sent = 0;
    const lie = ({ type, id, fields }: Request): Uint8Array | undefined => {
      if (type !== types.read) return undefined;
      fields.bytes();
      const offset = fields.u64();
      sent += 1;
      return packet(types.data, u32(id), string("12345".charAt(offset)));
    };
    const { storage } = storageOn(decentBut(lie));
    expect((await storage.get("a", { offset: 1, length: 3 })).toString()).toBe("234");
    expect(sent).toBe(3);
  });
});

describe("listings that can't be right", () => {
  test.each<[string, (request: Request) => Uint8Array]>([
    ["empty pages for ever", (request) => named(request)],
    ["the same names for ever", (request) => named(request, "a", "b")],
    ["a name with a slash", (request) => named(request, "../../etc/passwd")],
    ["fewer names than announced", ({ id }) => packet(types.name, u32(id), u32(1000), string("a"), string(""), file)],
    ["an absurd count", ({ id }) => packet(types.name, u32(id), u32(2 ** 32 - 1))],
  ])("%s", async (_, page) => {
    const { storage } = storageOn(decentBut((request) => (request.type === types.readdir ? page(request) : undefined)));
    expect(await rejection(collect(storage.list("")))).toMatchObject({
      code: "storage_failed",
      retryable: expect.any(Boolean),
    });
  });

  test("folders within folders without end", async () => {
    const pages = new Map<string, number>();
    const lie = (request: Request): Uint8Array | undefined => {
      const { type, id, fields } = request;
      if (type === types.opendir)
        return packet(types.handle, u32(id), string(`handle ${pages.size}${pages.set(String(pages.size), 0).size}`));
      if (type !== types.readdir) return undefined;
      const key = fields.text();
      const read = pages.get(key) ?? 0;
      pages.set(key, read + 1);
      if (read > 0) return status(id, codes.endOfFile);
      return packet(types.name, u32(id), u32(1), string("deeper"), string(""), folder);
    };
    const { storage } = storageOn(decentBut(lie));
    expect(String(await rejection(collect(storage.list(""))))).toContain("neither a file nor a folder of a storage");
  });

  test("a folder that is gone when it is opened is never taken for an empty one", async () => {
    let pages = 0;
    const lie = (request: Request): Uint8Array | undefined => {
      const { type, id, fields } = request;
      if (type === types.opendir && fields.text().startsWith("/store/packs")) return status(id, codes.noSuchFile);
      if (type !== types.readdir || pages++ > 0) return undefined;
      return packet(types.name, u32(id), u32(1), string("packs"), string(""), folder);
    };
    const { storage } = storageOn(decentBut(lie));
    const error = await rejection(collect(storage.list("")));
    expect(error).toMatchObject({ code: "storage_failed", message: expect.stringContaining("vanished meanwhile") });
  });

  test("a failure amid a listing is never its end", async () => {
    let pages = 0;
    const lie = (request: Request): Uint8Array | undefined => {
      if (request.type !== types.readdir) return undefined;
      pages += 1;
      return pages < 3 ? named(request, `name-${pages}`) : status(request.id, codes.failure, "disk on fire");
    };
    const { storage } = storageOn(decentBut(lie));
    const error = await rejection(collect(storage.list("")));
    expect(error).toMatchObject({ code: "storage_failed" });
    expect(String(error)).toContain("disk on fire");
  });
});

test("what a server does is told, and what it refuses isn't", async () => {
  let refuses = true;
  let told = 0;
  const lie = ({ id }: Request) => (refuses ? status(id, codes.failure, "disk on fire") : undefined);
  const { storage } = storageOn(decentBut(lie), new ManualClock(), () => (told += 1));
  await rejection(storage.get("a"));
  expect(told).toBe(0);
  refuses = false;
  await storage.get("a");
  expect(told).toBeGreaterThan(0);
});

describe("a server that stops answering", () => {
  test("fails all that wait after a while, and the next call connects anew", async () => {
    let silent = true;
    const script = decentBut(() => undefined);
    const answer: Script["answer"] = (request, server) => (silent ? undefined : script.answer?.(request, server));
    const { storage, servers, clock } = storageOn({ ...script, answer });
    const all = Promise.all([
      rejection(storage.get("a")),
      rejection(storage.stat("b")),
      rejection(collect(storage.list(""))),
    ]);
    for (const error of await clock.runUntil(all))
      expect(error).toMatchObject({ code: "storage_unreachable", retryable: true });
    expect(servers[0]?.killed).toBe(true);
    silent = false;
    expect((await storage.get("a")).toString()).toBe("12345");
    expect(servers).toHaveLength(2);
  });

  test("only one request, and goes on with others, fails after a while too", async () => {
    const never = ({ fields }: Request): Uint8Array | undefined =>
      fields.text() === "/store/never" ? Buffer.alloc(0) : undefined;
    const { storage, servers, clock } = storageOn(decentBut(never));
    let outcome: unknown;
    const waiting = rejection(storage.stat("never")).then((error) => (outcome = error));
    for (let minutes = 0; minutes < 4; minutes += 0.25) {
      expect((await storage.get("a")).toString()).toBe("12345");
      await clock.advance(15_000);
    }
    expect(outcome).toMatchObject({ code: "storage_unreachable", retryable: true });
    expect(servers[0]?.killed).toBe(true);
    await waiting;
  });

  test("requests out of turn, is as good as any other", async () => {
    // Each answer comes after the next one, whoever asked.
    let late: Uint8Array | undefined;
    const script = decentBut(() => undefined);
    const answer: Script["answer"] = (request, server) => {
      const bytes = script.answer?.(request, server);
      if (bytes === undefined) return undefined;
      const other = late;
      late = other === undefined ? bytes : undefined;
      return other && Buffer.concat([bytes, other]);
    };
    const { storage, servers, clock } = storageOn({ ...script, answer });
    for (let minutes = 0; minutes < 4; minutes += 0.5) {
      await Promise.all([storage.stat("a"), storage.stat("b")]);
      await clock.advance(30_000);
    }
    expect(servers).toHaveLength(1);
  });

  test("can be cancelled at once", async () => {
    const { storage } = storageOn({ answer: () => undefined });
    const controller = new AbortController();
    const { signal } = controller;
    const all = [
      storage.get("a", undefined, { signal }),
      storage.put("a", [], { signal }),
      storage.delete("a", { signal }),
    ];
    const outcomes = Promise.all(all.map(rejection));
    controller.abort();
    for (const error of await outcomes) expect(error).toMatchObject({ code: "cancelled" });
  });

  test("no more requests than agreed are under way at once, however many calls there are", async () => {
    const { storage, servers } = storageOn({ answer: () => undefined });
    const all = Array.from({ length: 300 }, (_, n) => rejection(storage.stat(`object-${n}`)));
    await expect.poll(() => servers[0]?.requests).toHaveLength(256);
    servers[0]?.end();
    for (const error of await Promise.all(all)) expect(error).toMatchObject({ code: "storage_unreachable" });
  });
});

test("a connection that nobody uses is closed, and made anew for the next call", async () => {
  const { storage, servers, clock } = storageOn(decentBut(() => undefined));
  await storage.get("a");
  await clock.advance(90_000);
  expect(await servers[0]?.ended).toMatchObject({ how: "it was closed" });
  expect((await storage.get("a")).toString()).toBe("12345");
  expect(servers).toHaveLength(2);
});

test("what a server says can't steer a terminal", async () => {
  const { storage } = storageOn(decentBut(({ id }) => status(id, codes.failure, "\u001b[2Jgone")));
  const error = await rejection(storage.get("a"));
  expect(isStillpointError(error, "storage_failed")).toBe(true);
  expect(String(error)).not.toContain("\u001b");
});
