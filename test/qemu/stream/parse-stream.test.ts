import * as fs from "node:fs";
import * as path from "node:path";
import { gunzipSync } from "node:zlib";
import fc from "fast-check";
import { expect, test } from "vitest";
import { isStillpointError } from "../../../src/errors.ts";
import { parseStream } from "../../../src/qemu/stream/parse-stream.ts";
import type { SavedState, SplitState } from "../../../src/qemu/stream/saved-state.ts";
import {
  counted,
  description,
  fileOf,
  globalState,
  type MadeBlock,
  madeHead,
  madeOrder,
  madePages,
  type MadeStream,
  madeStream,
  madeTail,
  named,
  u,
} from "../../helpers/migration-stream.ts";
import { rejection } from "../../helpers/rejection.ts";
import { seededRandom } from "../../helpers/seeded-random.ts";

const filled = (byte: number, length = 4096): Buffer => Buffer.alloc(length, byte);
const small: MadeStream = {
  blocks: [
    { id: "pc.ram", pages: [filled(1), undefined, filled(2), filled(3), undefined] },
    { id: "vga.vram", pages: [undefined, filled(4)] },
  ],
};

function split(state: SavedState): SplitState {
  if (state.opaque !== undefined) throw new Error(`kept whole: ${state.opaque}`);
  return state;
}

async function parse(...pieces: readonly Buffer[]): Promise<SavedState> {
  return await parseStream(fileOf(...pieces));
}

/** Every page, read from where it is said to be. */
function contents(file: string, { blocks, page }: SplitState): (Buffer | undefined)[][] {
  const bytes = fs.readFileSync(file);
  return blocks.map(({ positions }) =>
    Array.from({ length: positions.pages }, (_, number) => {
      const at = positions.get(number);
      return at === 0 ? undefined : bytes.subarray(at, at + page);
    }),
  );
}

const madeBlocks = fc
  .array(fc.array(fc.option(fc.integer({ min: 1, max: 255 }), { nil: undefined }), { minLength: 1, maxLength: 12 }), {
    minLength: 1,
    maxLength: 4,
  })
  .map((all) =>
    all.map(
      (pages, id): MadeBlock => ({
        id: `block${id}`,
        pages: pages.map((byte) => (byte === undefined ? byte : filled(byte))),
      }),
    ),
  );

const made = madeBlocks.chain((blocks) =>
  fc.record({
    blocks: fc.constant(blocks),
    order: fc.shuffledSubarray([...madeOrder(blocks)], { minLength: madeOrder(blocks).length }),
    perSection: fc.integer({ min: 1, max: 20 }),
    footers: fc.boolean(),
    zeros: fc.integer({ min: 0, max: 10_000 }),
  }),
);

test("head, every page and tail are found, in whatever order the pages come, with zeros behind or not", async () => {
  await fc.assert(
    fc.asyncProperty(made, async ({ zeros, ...one }) => {
      const file = fileOf(madeStream(one), Buffer.alloc(zeros));
      const state = split(await parseStream(file));
      expect(state.head).toEqual({ offset: 0, length: madeHead(one).length });
      expect(state.end).toBe(madeStream(one).length);
      expect(state.tail).toEqual({ offset: state.end - madeTail(one).length, length: madeTail(one).length });
      expect(state.blocks.map(({ id, size }) => [id, size])).toEqual(
        one.blocks.map(({ id, pages }) => [id, pages.length * 4096]),
      );
      expect(contents(file, state)).toEqual(one.blocks.map(({ pages }) => pages));
    }),
    { numRuns: 60 },
  );
});

test("cut anywhere, it is an error", async () => {
  const whole = madeStream(small);
  for (let length = 0; length < whole.length; length += length > 300 && length < whole.length - 600 ? 97 : 1) {
    expect(await rejection(parse(whole.subarray(0, length)))).toMatchObject({ code: "stream_invalid" });
    // So it is in a file that has its full length from the start.
    const spool = parse(whole.subarray(0, length), Buffer.alloc(whole.length - length));
    expect(await rejection(spool)).toMatchObject({ code: "stream_invalid" });
  }
});

test("with a bit flipped anywhere outside a page's content, it is an error, or kept whole, or still has every page", async () => {
  const whole = madeStream(small);
  const before = contents(fileOf(whole), split(await parse(whole)));
  await fc.assert(
    fc.asyncProperty(fc.nat(whole.length - 1), fc.nat(7), async (at, bit) => {
      const flipped = Buffer.from(whole);
      flipped[at] = (flipped[at] as number) ^ (1 << bit);
      const file = fileOf(flipped);
      const outcome = await parseStream(file).then(
        (state) => (state.opaque === undefined ? contents(file, state).flat().length : "kept whole"),
        (error: unknown) => (isStillpointError(error) ? error.code : error),
      );
      expect(["stream_invalid", "kept whole", before.flat().length]).toContain(outcome);
    }),
    { numRuns: 1000 },
  );
});

test("random bytes behind a good beginning never hang, and never pass", async () => {
  const random = seededRandom(11);
  for (let turn = 0; turn < 200; turn++) {
    const noise = random.bytes(Math.floor(random.fraction() * 3000));
    const cut = Math.floor(random.fraction() * 400);
    const error = await rejection(parse(madeStream(small).subarray(0, cut), noise));
    expect(error).toMatchObject({ code: "stream_invalid" });
  }
});

const blockList = (total: number, ...blocks: readonly (readonly [string, number])[]): Buffer =>
  Buffer.concat([
    Buffer.from("QEVM\0\0\0\x03"),
    named(
      1,
      2,
      "ram",
      4,
      Buffer.concat([
        u(8, total + 4),
        ...blocks.map(([id, size]) => Buffer.concat([counted(id), u(8, size)])),
        u(8, 16),
      ]),
    ),
  ]);
const page = (flags: number, rest: Buffer): Buffer => Buffer.concat([u(1, 2), u(4, 2), u(8, flags), rest]);
const configured = (...rest: readonly Buffer[]): Buffer =>
  Buffer.concat([Buffer.from("QEVM\0\0\0\x03\x07\0\0\0\x02pc"), ...rest]);
const subsection = (name: string, data: Buffer): Buffer =>
  Buffer.concat([u(1, 5), counted(`configuration/${name}`), u(4, 1), data]);

test.each<[string, Buffer, string]>([
  ["another file", Buffer.from("\x7fELF and much more"), "doesn't begin like"],
  ["another version", Buffer.from("QEVM\0\0\0\x02and much more"), "version 2"],
  ["a machine type of 4 GiB", Buffer.from("QEVM\0\0\0\x03\x07\xff\xff\xff\xff", "latin1"), "machine type has"],
  [
    "saved as mapped-ram",
    configured(subsection("capabilities", Buffer.concat([u(4, 1), counted("mapped-ram")]))),
    "mapped-ram",
  ],
  ["pages of 2^40 bytes", configured(subsection("target-page-bits", u(4, 40))), "2^40"],
  ["more RAM than there is in the world", blockList(2 ** 50, ["pc.ram", 2 ** 50]), "claims"],
  [
    "an address beyond all numbers",
    Buffer.concat([blockList(4096, ["a", 4096]), u(1, 2), u(4, 2), Buffer.alloc(8, 0xff)]),
    "unknown kind",
  ],
  ["a block longer than all RAM", blockList(4096, ["a", 8192]), "makes no sense"],
  ["a block that isn't whole pages", blockList(8192, ["a", 4097]), "makes no sense"],
  ["a block twice", blockList(8192, ["a", 4096], ["a", 4096]), "makes no sense"],
  [
    "a page beyond its block",
    Buffer.concat([blockList(4096, ["a", 4096]), page(4096 + 2, Buffer.concat([counted("a"), u(1, 0)]))]),
    "beyond",
  ],
  [
    "a page of an unknown block",
    Buffer.concat([blockList(4096, ["a", 4096]), page(2, Buffer.concat([counted("b"), u(1, 0)]))]),
    "unknown block",
  ],
  [
    "a page of the block before, when there is none",
    Buffer.concat([blockList(4096, ["a", 4096]), page(0x22, u(1, 0))]),
    "unknown block",
  ],
  [
    "a page filled with a byte",
    Buffer.concat([blockList(4096, ["a", 4096]), page(2, Buffer.concat([counted("a"), u(1, 7)]))]),
    "unknown page",
  ],
  ["a compressed page", Buffer.concat([blockList(4096, ["a", 4096]), page(0x40, counted("a"))]), "unknown kind"],
  [
    "a section that nobody began",
    Buffer.concat([blockList(4096, ["a", 4096]), u(1, 2), u(4, 77)]),
    "without having begun",
  ],
  ["a section of an unknown type", Buffer.concat([blockList(4096, ["a", 4096]), u(1, 99)]), "type 99"],
  [
    "no device at all",
    Buffer.concat([
      blockList(4096, ["a", 4096]),
      page(2, Buffer.concat([counted("a"), u(1, 0), u(8, 16), u(1, 0x7e), u(4, 2)])),
      u(1, 0),
    ]),
    "ends after its RAM",
  ],
])("refused: %s", async (_, bytes, reason) => {
  const error = await rejection(parse(bytes));
  expect(error).toMatchObject({ code: "stream_invalid" });
  expect(error.message).toContain(reason);
});

test("a page that comes twice, or not at all, is refused: QEMU has called such streams completed", async () => {
  const order = madeOrder(small.blocks);
  const twice = await rejection(parse(madeStream({ ...small, order: [...order, [0, 2]] })));
  expect(twice.message).toContain("a page twice");
  const lacking = await rejection(parse(madeStream({ ...small, order: order.slice(0, -1) })));
  expect(lacking.message).toContain("1 of the 2 pages of vga.vram");
});

test("what virtio-mem has unplugged may lack, and counts as zeros", async () => {
  const order = madeOrder(small.blocks).slice(1);
  const state = split(await parse(madeStream({ ...small, order, devices: ["cpu", "0000:00:05.0/virtio-mem"] })));
  expect(state.blocks[0]?.positions.get(0)).toBe(0);
});

test.each<[string, Buffer]>([
  [
    "another thing that comes in parts, before RAM",
    Buffer.concat([configured(named(1, 1, "dirty-bitmap", 1, u(1, 0))), madeTail(small)]),
  ],
  [
    "and behind RAM",
    Buffer.concat([madeHead(small), madePages(small), named(1, 5, "block", 1, u(1, 0)), madeTail(small)]),
  ],
  ["a command", Buffer.concat([madeHead(small), madePages(small), Buffer.from([8, 0, 1, 0, 0]), madeTail(small)])],
  ["a command between pages", madeStream({ ...small, switchover: Buffer.from([8, 0, 1, 0, 0]) })],
  [
    "a part of the configuration that isn't known",
    Buffer.concat([configured(subsection("new", u(4, 1))), madeTail(small)]),
  ],
])("kept whole, with its end: %s", async (_, bytes) => {
  const state = await parse(bytes, Buffer.alloc(5000));
  expect(state.opaque).toBeTypeOf("string");
  expect(state.end).toBe(bytes.length);
});

test("the command by which QEMU 10 says that the guest stands still is no part of head, pages or tail", async () => {
  const stopped = { ...small, perSection: 2, switchover: Buffer.from([8, 0, 11, 0, 0]) };
  const file = fileOf(madeStream(stopped));
  const state = split(await parseStream(file));
  expect(contents(file, state)).toEqual(small.blocks.map(({ pages }) => pages));
  const bytes = fs.readFileSync(file);
  expect(bytes.subarray(state.head.offset, state.head.length)).toEqual(madeHead(stopped));
  expect(bytes.subarray(state.tail.offset, state.end)).toEqual(madeTail(stopped));
});

test("devices saved before RAM stay in the head", async () => {
  const early = [named(4, 1, "virtio-mem-early", 1, Buffer.from("early state"))];
  const state = split(await parse(madeStream({ ...small, early })));
  expect(state.head.length).toBe(madeHead({ ...small, early }).length);
});

test("pages of 64 KiB", async () => {
  const blocks = [{ id: "mach-virt.ram", pages: [filled(1, 65_536), undefined] }];
  const state = split(await parse(madeStream({ blocks, pageBits: 16 })));
  expect(state.page).toBe(65_536);
  expect(state.blocks[0]?.size).toBe(131_072);
});

test("a guest can't end its own stream early: what looks like an end but is followed by more isn't one", async () => {
  const tail = Buffer.concat([
    named(4, 20, "cpu", 1, Buffer.concat([globalState("paused"), description(["fake"]), Buffer.alloc(9000)])),
    globalState("paused"),
  ]);
  const bytes = madeStream({ ...small, tail });
  expect(split(await parse(bytes, Buffer.alloc(3_000_000))).end).toBe(bytes.length);
});

test("something behind the end is an error, however far", async () => {
  const error = await rejection(parse(madeStream(small), Buffer.alloc(2_000_000), Buffer.of(1)));
  expect(error).toMatchObject({ code: "stream_invalid" });
});

test("sections and pages may lie across the pieces that are read", async () => {
  const random = seededRandom(3);
  const pages = Array.from({ length: 2500 }, (_, number) =>
    number % 5 === 0 ? undefined : filled(1 + (number % 250)),
  );
  const one = { blocks: [{ id: "pc.ram", pages }], perSection: 1 + Math.floor(random.fraction() * 50) };
  const file = fileOf(madeStream(one));
  expect(contents(file, split(await parseStream(file)))).toEqual([pages]);
});

test("a save of a real QEMU 7.2, with the head, tail and pages that were found in it by other means", async () => {
  const folder = path.join(import.meta.dirname, "../../vectors/migration");
  const expected = JSON.parse(fs.readFileSync(path.join(folder, "expected.json"), "utf8")) as object;
  const file = fileOf(gunzipSync(fs.readFileSync(path.join(folder, "qemu-7.2.gz"))), Buffer.alloc(1_000_000));
  const { head, tail, end, blocks } = split(await parseStream(file));
  const found = blocks.map(({ id, size, positions }) => {
    const filledPages = Array.from({ length: positions.pages }, (_, number) => positions.get(number)).filter(Boolean);
    return { id, size, filled: filledPages.length };
  });
  expect({ head, tail, end, blocks: found }).toEqual(expected);
});
