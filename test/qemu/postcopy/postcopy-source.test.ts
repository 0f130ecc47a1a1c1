/** The source, with a destination that takes its stream apart and asks for pages as it likes. */
import { once } from "node:events";
import * as net from "node:net";
import * as path from "node:path";
import { setImmediate } from "node:timers/promises";
import { expect, onTestFinished, test } from "vitest";
import { isStillpointError, StillpointError } from "../../../src/errors.ts";
import { PostcopySource, type ReadMemory } from "../../../src/qemu/postcopy/postcopy-source.ts";
import { counted, madeHead, madeTail, type MadeStream, u } from "../../helpers/migration-stream.ts";
import { rejection } from "../../helpers/rejection.ts";
import { tempDir } from "../../helpers/temp-dir.ts";

const page = 4096;
const pages = 1024;
const filled = (byte: number): Buffer => Buffer.alloc(page, byte);
const made: MadeStream = {
  blocks: [
    { id: "pc.ram", pages: Array.from({ length: pages }, (_, n) => (n % 3 === 0 ? undefined : filled(1 + (n % 200)))) },
    { id: "rom", pages: [filled(9), undefined, filled(7)] },
  ],
};
const contents = made.blocks.map((block) => Buffer.concat(block.pages.map((content) => content ?? Buffer.alloc(page))));

interface Received {
  readonly block: string;
  readonly page: number;
  readonly content: Buffer | undefined;
}

/** Reads a stream as QEMU does, as far as this source can send it. */
class Destination {
  readonly received: Received[] = [];
  /** How many pages had come when the devices' state did. */
  before = -1;
  ended = false;
  #bytes: Buffer = Buffer.alloc(0);
  #head = madeHead(made).length + 5 + 21;
  #block = "";

  take(chunk: Buffer): void {
    this.#bytes = Buffer.concat([this.#bytes, chunk]);
    if (this.#head > 0) {
      if (this.#bytes.length < this.#head) return;
      this.#bytes = this.#bytes.subarray(this.#head);
      this.#head = 0;
    }
    for (let used = this.#next(); used > 0; used = this.#next()) this.#bytes = this.#bytes.subarray(used);
  }

  /** Length of the element at the start, or 0 when it isn't all there. */
  #next(): number {
    const bytes = this.#bytes;
    if (bytes.length < 5) return 0;
    if (bytes[0] === 8 && bytes.readUInt16BE(1) !== 7) return 5 + bytes.readUInt16BE(3);
    if (bytes[0] === 8) {
      if (bytes.length < 9 || bytes.length < 9 + bytes.readUInt32BE(5)) return 0;
      this.before = this.received.length;
      return 9 + bytes.readUInt32BE(5);
    }
    if (bytes[0] === 3) {
      this.ended = bytes.length === 5 + 8 + 5 + 1;
      return 0;
    }
    if (bytes[0] !== 2) throw new Error(`a section of type ${String(bytes[0])}`);
    return this.#section();
  }

  #section(): number {
    const found: Received[] = [];
    let at = 5;
    for (;;) {
      if (this.#bytes.length < at + 8) return 0;
      const word = Number(this.#bytes.readBigUInt64BE(at));
      at += 8;
      if (word === 0x10) break;
      if ((word & 0x20) === 0) {
        const length = this.#bytes[at] ?? 0;
        this.#block = this.#bytes.toString("latin1", at + 1, at + 1 + length);
        at += 1 + length;
      }
      const length = (word & 8) === 0 ? 1 : page;
      if (this.#bytes.length < at + length) return 0;
      const content = length === page ? Buffer.from(this.#bytes.subarray(at, at + page)) : undefined;
      found.push({ block: this.#block, page: Math.floor(word / page), content });
      at += length;
    }
    if (this.#bytes.length < at + 5) return 0;
    this.received.push(...found);
    return at + 5;
  }
}

interface Run {
  readonly destination: Destination;
  readonly source: PostcopySource;
  readonly failures: string[];
  readonly peer: net.Socket;
  /** How often it was told that something moves. */
  readonly moves: () => number;
}

/** `loads`: whether the devices are loaded at once, and that is said. */
async function begin(read?: (block: number) => ReadMemory, signal?: AbortSignal, loads = true): Promise<Run> {
  const socket = path.join(await tempDir(), "socket");
  const destination = new Destination();
  const failures: string[] = [];
  let moves = 0;
  const connected = Promise.withResolvers<net.Socket>();
  const server = net.createServer((peer) => {
    peer.on("error", () => undefined);
    peer.on("data", (chunk: Buffer) => {
      const before = destination.before;
      destination.take(chunk);
      if (loads && before < 0 && destination.before >= 0) peer.write(pong);
      if (destination.ended) peer.end(Buffer.concat([Buffer.of(0, 1, 0, 4), u(4, 0)]));
    });
    connected.resolve(peer);
  });
  server.listen(socket);
  await once(server, "listening");
  const usual =
    (number: number): ReadMemory =>
    (offset, length) =>
      Promise.resolve(contents[number]?.subarray(offset, offset + length));
  const source = await PostcopySource.begin({
    socket,
    head: madeHead(made),
    tail: madeTail(made),
    content: (_, number) => (read ?? usual)(number),
    onFailure: (message) => failures.push(message),
    moved: () => (moves += 1),
    clock: { now: () => 0, monotonic: () => 0, sleep: () => Promise.resolve() },
    signal,
  });
  const peer = await connected.promise;
  onTestFinished(async () => {
    source.close();
    peer.destroy();
    await server[Symbol.asyncDispose]();
  });
  return { destination, source, failures, peer, moves: () => moves };
}

const pong = Buffer.concat([Buffer.of(0, 2, 0, 4), u(4, 3)]);

const ask = (block: string, number: number, length = page): Buffer =>
  Buffer.concat([Buffer.of(0, 3, 0, 13 + block.length), u(8, number * page), u(4, length), counted(block)]);

/** Each page that isn't zeros came, once and right; zeros at most once. */
function judge({ received }: Destination): void {
  const names = received.map(({ block, page: number }) => `${block} ${String(number)}`);
  expect(new Set(names).size).toBe(names.length);
  const memory = made.blocks.map((block) => Buffer.alloc(block.pages.length * page));
  for (const { block, page: number, content } of received)
    content?.copy(memory[made.blocks.findIndex(({ id }) => id === block)] as Buffer, number * page);
  expect(memory.map((one, number) => one.equals(contents[number] as Buffer))).toEqual([true, true]);
}

test("sends firmware before the devices, then each page that isn't zeros, once", async () => {
  const { destination, source } = await begin();
  await source.done;
  judge(destination);
  expect(destination.before).toBe(2);
  expect(destination.received.every(({ content }) => content !== undefined)).toBe(true);
});

test("answers requests before it goes on, with the pages around, zeros too, and doesn't send them again", async () => {
  // Nothing is read of RAM but what somebody asks for, until that is answered.
  const held = Promise.withResolvers<undefined>();
  const { destination, source, peer } = await begin((number) => async (offset, length) => {
    if (number === 0 && length > 16 * page) await held.promise;
    return contents[number]?.subarray(offset, offset + length);
  });
  peer.write(Buffer.concat([ask("pc.ram", 600), ask("pc.ram", 600), ask("pc.ram", 601), ask("rom", 1)]));
  await expect.poll(() => destination.received.length).toBe(2 + 16 + 1);
  const answered = destination.received.filter(({ block }) => block === "pc.ram").map((one) => one.page);
  expect(answered).toEqual(Array.from({ length: 16 }, (_, index) => 592 + index));
  held.resolve(undefined);
  await source.done;
  judge(destination);
});

test("doesn't end before the devices are loaded: until then one may wait for zeros that weren't sent", async () => {
  const { destination, source, peer, moves } = await begin(undefined, undefined, false);
  const filledPages = made.blocks.flatMap(({ pages: all }) => all).filter((content) => content !== undefined).length;
  await expect.poll(() => destination.received.length).toBe(filledPages);
  peer.write(ask("pc.ram", 600));
  await expect.poll(() => destination.received.map((one) => one.page)).toContain(600);
  expect(destination.ended).toBe(false);
  const before = moves();
  expect(before).toBeGreaterThan(0);
  peer.write(pong);
  await expect.poll(moves).toBeGreaterThan(before);
  await source.done;
  judge(destination);
});

test("tries again what it can't read, and says so", async () => {
  let left = 3;
  const { destination, source, failures } = await begin((number) => (offset, length) => {
    if (number === 0 && left-- > 0) return Promise.reject(new Error("the disk is gone"));
    return Promise.resolve(contents[number]?.subarray(offset, offset + length));
  });
  await source.done;
  judge(destination);
  expect(failures).toEqual(Array.from({ length: 3 }, () => expect.stringContaining("pc.ram: ") as string));
});

const damaged = (number: number): ReadMemory =>
  number === 0
    ? async () => {
        await setImmediate();
        throw new StillpointError("damaged", { what: "lost" });
      }
    : () => Promise.resolve(undefined);

test("what the devices need and is damaged ends it, before they are loaded", async () => {
  const { source, peer } = await begin(damaged, undefined, false);
  peer.write(ask("pc.ram", 600));
  expect(await rejection(source.done)).toMatchObject({ code: "damaged" });
});

test("what a guest needs and is damaged is tried for ever", async () => {
  const { source, peer, failures } = await begin(damaged, undefined, false);
  peer.write(Buffer.concat([pong, ask("pc.ram", 600)]));
  await expect.poll(() => failures.length).toBeGreaterThan(2);
  source.close();
  expect(await rejection(source.done)).toMatchObject({ code: "cancelled" });
});

const never = (number: number): ReadMemory =>
  number === 0 ? async () => await Promise.withResolvers<undefined>().promise : () => Promise.resolve(contents[number]);

test.each<[string, (peer: net.Socket) => void]>([
  ["hangs up", (peer) => void peer.destroy()],
  ["asks for what isn't there", (peer) => void peer.write(ask("pc.ram", pages))],
  ["asks for a block that isn't there", (peer) => void peer.write(ask("nothing", 0))],
  ["talks nonsense", (peer) => void peer.write("GET / HTTP/1.1\r\n\r\n")],
  ["says that it has all before it has", (peer) => void peer.write(Buffer.of(0, 1, 0, 4, 0, 0, 0, 0))],
])("fails when the destination %s", async (_, act) => {
  const { source, peer } = await begin(never);
  act(peer);
  expect(isStillpointError(await rejection(source.done), "boot_failed")).toBe(true);
});

test("ends when it is cancelled", async () => {
  const controller = new AbortController();
  const { source } = await begin(never, controller.signal);
  controller.abort();
  expect(isStillpointError(await rejection(source.done), "cancelled")).toBe(true);
});

test("needs somebody who listens", async () => {
  const options = { head: madeHead(made), tail: madeTail(made), content: never.bind(undefined, 0) };
  const error = await rejection(
    PostcopySource.begin({ ...options, socket: path.join(await tempDir(), "none"), onFailure: () => undefined }),
  );
  expect(isStillpointError(error, "boot_failed")).toBe(true);
});
