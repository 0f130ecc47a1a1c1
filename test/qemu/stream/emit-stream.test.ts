import * as fs from "node:fs";
import * as path from "node:path";
import { gunzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { type BlockContent, blocksOfHead, emitStream } from "../../../src/qemu/stream/emit-stream.ts";
import { parseStream } from "../../../src/qemu/stream/parse-stream.ts";
import { asRunning } from "../../../src/qemu/stream/run-state.ts";
import type { SavedBlock, SplitState } from "../../../src/qemu/stream/saved-state.ts";
import { fileOf, globalState, type MadeStream, madeStream, madeTail, named } from "../../helpers/migration-stream.ts";
import { rejection } from "../../helpers/rejection.ts";

const filled = (byte: number): Buffer => Buffer.alloc(4096, byte);
const made: MadeStream = {
  blocks: [
    { id: "pc.ram", pages: Array.from({ length: 700 }, (_, n) => (n % 3 === 0 ? undefined : filled(1 + (n % 200)))) },
    { id: "rom", pages: [undefined, filled(4), undefined] },
    { id: "empty", pages: [undefined] },
  ],
};

async function parsed(file: string): Promise<SplitState> {
  const state = await parseStream(file);
  if (state.opaque !== undefined) throw new Error(state.opaque);
  return state;
}

/** A block's content, in pieces that don't end where pages do. */
function* contentOf(bytes: Buffer, { positions }: SavedBlock, page: number): Generator<Buffer> {
  const pages = Array.from({ length: positions.pages }, (_, number) => {
    const at = positions.get(number);
    return at === 0 ? Buffer.alloc(page) : bytes.subarray(at, at + page);
  });
  const all = Buffer.concat(pages);
  for (let at = 0; at < all.length; at += 10_000) yield all.subarray(at, at + 10_000);
}

async function emit(file: string, content?: (number: number) => BlockContent | undefined): Promise<Buffer> {
  const state = await parsed(file);
  const bytes = fs.readFileSync(file);
  const part = ({ offset, length }: { offset: number; length: number }): Buffer =>
    bytes.subarray(offset, offset + length);
  const pieces: Uint8Array[] = [];
  const from = content ?? ((number) => contentOf(bytes, state.blocks[number] as SavedBlock, state.page));
  const options = {
    head: part(state.head),
    tail: part(state.tail),
    content: (_: unknown, number: number) => from(number),
  };
  for await (const piece of emitStream(options)) pieces.push(Buffer.from(piece));
  return Buffer.concat(pieces);
}

function pagesOf(file: string, { blocks, page }: SplitState): Buffer[] {
  const bytes = fs.readFileSync(file);
  return blocks.map((block) => Buffer.concat([...contentOf(bytes, block, page)]));
}

test.each([true, false])(
  "what is put together again has the same head, pages and tail (footers: %s)",
  async (footers) => {
    const file = fileOf(madeStream({ ...made, footers }));
    const again = fileOf(await emit(file));
    const [before, after] = [await parsed(file), await parsed(again)];
    expect(pagesOf(again, after)).toEqual(pagesOf(file, before));
    expect(after.head).toEqual(before.head);
    expect(after.tail.length).toBe(before.tail.length);
    expect(fs.readFileSync(again).subarray(after.tail.offset)).toEqual(
      fs.readFileSync(file).subarray(before.tail.offset),
    );
  },
);

test("zeros of a large block are left out, those of ROM are said", async () => {
  const pages = Array.from({ length: 20_000 }, (_, n) => (n === 5 ? filled(9) : undefined));
  const file = fileOf(
    madeStream({
      blocks: [
        { id: "pc.ram", pages },
        { id: "rom", pages: [undefined] },
      ],
    }),
  );
  const again = await emit(file);
  expect(again.length).toBeLessThan(12_000);
  const error = await rejection(parseStream(fileOf(again)));
  expect(error.message).toContain("19999 of the 20000 pages of pc.ram");
});

test("a block that QEMU has from elsewhere is left out", async () => {
  const file = fileOf(madeStream(made));
  const state = await parsed(file);
  const bytes = fs.readFileSync(file);
  const again = await emit(file, (number) =>
    number === 0 ? undefined : contentOf(bytes, state.blocks[number] as SavedBlock, state.page),
  );
  expect((await rejection(parseStream(fileOf(again)))).message).toContain("700 of the 700 pages of pc.ram");
});

test.each([
  ["too short", [Buffer.alloc(4096)]],
  ["not whole pages", [Buffer.alloc(4097)]],
])("a content that is %s is an error", async (_, content) => {
  const file = fileOf(madeStream(made));
  expect(await rejection(emit(file, () => content))).toMatchObject({ code: "stream_invalid" });
});

test("a head that isn't one is an error", async () => {
  expect(await rejection(blocksOfHead(Buffer.from("QEVM")))).toMatchObject({ code: "stream_invalid" });
  const foreign = Buffer.concat([Buffer.from("QEVM\0\0\0\x03"), named(1, 1, "block", 1, Buffer.alloc(3))]);
  expect(await rejection(blocksOfHead(foreign))).toMatchObject({ code: "stream_invalid" });
});

test("only the run state is changed to make a machine run, also in the tail of a real QEMU", async () => {
  const file = fileOf(
    gunzipSync(fs.readFileSync(path.join(import.meta.dirname, "../../vectors/migration/qemu-7.2.gz"))),
  );
  const { tail } = await parsed(file);
  const before = fs.readFileSync(file).subarray(tail.offset, tail.offset + tail.length);
  const after = asRunning(before);
  const differing = [...before.keys()].filter((at) => before[at] !== after[at]);
  expect(differing.length).toBeLessThanOrEqual(8);
  const name = before.indexOf("globalstate");
  expect(after.subarray(name + 19, name + 31)).toEqual(Buffer.from("\0\0\0\x08running\0"));
});

test("what merely looks like a run state isn't changed", () => {
  const imitation = Buffer.from("\x0bglobalstate\0\0\0\0\0\0\0\x01\0\0\0\x07paused\0");
  const tail = madeTail({
    ...made,
    tail: Buffer.concat([named(4, 3, "net", 1, Buffer.concat([imitation, Buffer.alloc(200)])), globalState("paused")]),
  });
  const after = asRunning(tail);
  expect(after.indexOf("paused")).toBe(tail.indexOf("paused"));
  expect(after.lastIndexOf("running")).toBe(tail.lastIndexOf("paused"));
  const without = madeTail({ ...made, tail: named(4, 3, "net", 1, imitation) });
  expect(asRunning(without)).toEqual(without);
});
