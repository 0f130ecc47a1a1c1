/** How long a line makes each call wait, counted on a server that answers all at once what it was asked since it last did. */

import { setImmediate } from "node:timers/promises";
import { expect, test } from "vitest";
import { string, u32, u64 } from "../../../../src/host/big-endian.ts";
import {
  extensions,
  packetTypes as types,
  statusCodes as codes,
} from "../../../../src/storage/drivers/sftp/protocol.ts";
import { SftpStorage } from "../../../../src/storage/drivers/sftp/sftp-storage.ts";
import type { Storage } from "../../../../src/storage/storage.ts";
import { collect } from "../../../helpers/collect.ts";
import { ManualClock } from "../../../helpers/manual-clock.ts";
import { packet, type Request, type ScriptedServer, scriptedServer, status } from "../../../helpers/scripted-sftp.ts";
import { connectTo } from "../../../helpers/sftp.ts";

const attributesOf = (mode: number): Buffer => Buffer.concat([u32(0x0d), u64(5), u32(mode), u32(1), u32(2)]);
const folder = attributesOf(0o040700);
const file = attributesOf(0o100400);

/** A storage in `/s` that has these objects, each of five bytes. */
class FarServer {
  readonly #objects: readonly string[];
  readonly #asked: Request[] = [];
  readonly #listed = new Set<string>();
  readonly #server: ScriptedServer = scriptedServer({
    extensions: [extensions.posixRename, extensions.fsync],
    answer: (request) => void this.#asked.push(request),
  });
  readonly storage: Storage;

  constructor(...objects: readonly string[]) {
    this.#objects = objects;
    const clock = new ManualClock();
    const connect = async () => await connectTo(this.#server, clock);
    this.storage = new SftpStorage({ location: "far", path: "/s", clock, connect });
  }

  /** How many round trips the work takes, beyond that of the connection. */
  async roundTrips(work: (storage: Storage) => Promise<unknown>): Promise<number> {
    let over = false;
    const done = work(this.storage).finally(() => (over = true));
    for (let count = 0; ; count++) {
      // Nothing waits for the world outside: after some turns there is no more to ask.
      for (let turn = 0; turn < 10; turn++) await setImmediate();
      const asked = this.#asked.splice(0);
      if (over) {
        await done;
        return count;
      }
      for (const request of asked) this.#server.raw(this.#answer(request));
    }
  }

  #answer({ type, id, fields }: Request): Buffer {
    // A handle is the path.
    const path = fields.text().replace(/^\/s\/?/, "");
    const within = path === "" || path.endsWith("/") ? path : `${path}/`;
    const names = this.#objects.flatMap((name) => (name.startsWith(within) ? [name.slice(within.length)] : []));
    const there = this.#objects.includes(path) ? file : path === "tmp" || names.length > 0 ? folder : undefined;
    if (type === types.lstat && there !== undefined) return packet(types.attrs, u32(id), there);
    if (type === types.fstat) return packet(types.attrs, u32(id), file);
    if (type === types.read) return packet(types.data, u32(id), string("12345"));
    const isNew = path.startsWith("tmp/");
    if ((type === types.open && (isNew || there)) || (type === types.opendir && there === folder)) {
      this.#listed.delete(path);
      return packet(types.handle, u32(id), string(path));
    }
    if (type === types.readdir && names.length > 0 && !this.#listed.has(path)) {
      this.#listed.add(path);
      const parts = [...new Set(names.map((name) => /^[^/]+\/?/.exec(name)?.[0] ?? ""))];
      const entries = parts.flatMap((part) => [
        string(part.replace("/", "")),
        string(""),
        part.endsWith("/") ? folder : file,
      ]);
      return packet(types.name, u32(id), u32(parts.length), ...entries);
    }
    if (type === types.readdir) return status(id, codes.endOfFile);
    if (type === types.lstat || type === types.opendir || type === types.open) return status(id, codes.noSuchFile);
    return status(id, codes.ok);
  }
}

async function listing(prefix: string, ...objects: readonly string[]): Promise<[number, number]> {
  const server = new FarServer(...objects);
  let found = 0;
  const count = await server.roundTrips(async (storage) => (found = (await collect(storage.list(prefix))).length));
  return [count, found];
}

test("a listing takes two for each level; the storage is looked at only where a folder lacks, or is the storage's own", async () => {
  const points = ["points/web/1", "points/web/2", "points/db/1"];
  expect(await listing("points/web/", ...points)).toEqual([2, 2]);
  expect(await listing("points/", ...points)).toEqual([4, 3]);
  expect(await listing("tags/", ...points)).toEqual([2, 0]);
  expect(await listing("", "format")).toEqual([3, 1]);
});

test("folders are read side by side: the 256 that packs are spread over take four", async () => {
  const packs = Array.from({ length: 256 }, (_, n) => `packs/${n.toString(16).padStart(2, "0")}/x`);
  const [count, found] = await listing("packs/", ...packs);
  expect([count, found]).toEqual([2 + 4, 256]);
});

test("a small object takes two to read, and five to store where others are", async () => {
  const server = new FarServer("format", "points/web/1");
  const read = async (storage: Storage) => await storage.get("format");
  const store = async (storage: Storage) => await storage.put("points/web/2", [Buffer.from("12345")]);
  expect(await server.roundTrips(read)).toBe(2);
  await server.roundTrips(store);
  expect(await server.roundTrips(store)).toBe(5);
});
