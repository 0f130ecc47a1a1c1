import * as fs from "node:fs";
import fc from "fast-check";
import { expect, test } from "vitest";
import { captureMemory, stateSize } from "../../../../src/capture/vm/memory/capture-memory.ts";
import { parseStream } from "../../../../src/qemu/stream/parse-stream.ts";
import { BlobStore } from "../../../../src/repository/blobs/blob-store.ts";
import { blobKinds } from "../../../../src/repository/format.ts";
import type { Part } from "../../../../src/repository/points/manifest.ts";
import { isHole } from "../../../../src/repository/tree/image-tree.ts";
import { piecesOf } from "../../../../src/restore/pieces.ts";
import { captureContext } from "../../../helpers/capture-context.ts";
import {
  fileOf,
  madeHead,
  madeOrder,
  madePages,
  type MadeStream,
  madeStream,
  madeTail,
  named,
  u,
} from "../../../helpers/migration-stream.ts";
import { rejection } from "../../../helpers/rejection.ts";
import { makeTestRepository, type TestRepository } from "../../../helpers/repository.ts";
import { seededRandom } from "../../../helpers/seeded-random.ts";

const zero = Buffer.alloc(4096);

async function capture({ repository }: TestRepository, file: string, before?: () => void) {
  const context = await captureContext(repository);
  const { session } = context;
  const saved = await parseStream(file);
  before?.();
  let done = 0;
  const captured = await captureMemory(context, { path: file }, saved, (bytes) => {
    done += bytes;
  });
  const statistics = await session.finish();
  await session.close();
  return { ...captured, saved, done, statistics };
}

async function contentOf({ repository }: TestRepository, part: Part | undefined): Promise<Buffer> {
  const { reader } = await BlobStore.load(repository);
  const pieces: Buffer[] = [];
  if (part === undefined || part.kind === "directory") throw new Error("no such part");
  for await (const piece of piecesOf(reader, part)) {
    if (!("id" in piece)) throw new Error(piece.reason);
    pieces.push(isHole(piece.id) ? Buffer.alloc(piece.size) : await reader.read(blobKinds.data, piece.id));
  }
  return Buffer.concat(pieces);
}

const bytesOf = ({ blocks }: MadeStream): Buffer[] =>
  blocks.map(({ pages }) => Buffer.concat(pages.map((page) => page ?? zero)));

/** Pages that differ from each other, and holes among them. */
function pagesOf(seed: number, count: number, share = 0.6): (Buffer | undefined)[] {
  const random = seededRandom(seed);
  return Array.from({ length: count }, () => {
    if (random.fraction() > share) return undefined;
    const page = Buffer.alloc(4096, Math.floor(random.fraction() * 256));
    page.writeUInt32LE(Math.floor(random.fraction() * 2 ** 32));
    return page;
  });
}

test("head, RAM and tail, whatever the order of the pages in the spool", async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(), fc.integer({ min: 1, max: 100 }), fc.boolean(), async (seed, perSection, shuffled) => {
      const blocks = [
        { id: "pc.ram", pages: pagesOf(seed, 300) },
        { id: "rom", pages: pagesOf(seed + 1, 3) },
        { id: "empty", pages: [undefined] },
      ];
      const random = seededRandom(seed);
      const order = madeOrder(blocks).map((one) => ({ one, key: shuffled ? random.fraction() : 0 }));
      const made: MadeStream = {
        blocks,
        perSection,
        order: order.toSorted((a, b) => a.key - b.key).map(({ one }) => one),
      };
      const tested = await makeTestRepository();
      const { parts, memory, done, read, saved } = await capture(tested, fileOf(madeStream(made), Buffer.alloc(9000)));
      expect(parts.map(({ name }) => name)).toEqual(["state/head", "memory/0", "memory/1", "memory/2", "state/tail"]);
      const contents = await Promise.all(parts.map(async (part) => await contentOf(tested, part)));
      expect(contents).toEqual([madeHead(made), ...bytesOf(made), madeTail(made)]);
      expect(memory).toEqual({
        page: 4096,
        blocks: blocks.map(({ id, pages }) => ({ id, size: pages.length * 4096 })),
      });
      expect(done).toBe(stateSize(saved));
      const filled = blocks.flatMap(({ pages }) => pages).filter((page) => page !== undefined).length;
      expect(read).toBe(madeHead(made).length + madeTail(made).length + filled * 4096);
    }),
    { numRuns: 8 },
  );
});

test("RAM larger than a node of its tree, mostly untouched", async () => {
  const pages: (Buffer | undefined)[] = Array.from({ length: 20_000 });
  for (const [at, page] of pagesOf(5, 40, 1).entries()) pages[at * 499] = page;
  const made: MadeStream = { blocks: [{ id: "pc.ram", pages }], perSection: 500 };
  const tested = await makeTestRepository();
  const { parts } = await capture(tested, fileOf(madeStream(made)));
  expect(parts[1]).toMatchObject({ kind: "image", size: 20_000 * 4096, block: 131_072, depth: 2 });
  expect((await contentOf(tested, parts[1])).equals(bytesOf(made)[0] ?? zero)).toBe(true);
});

test("what is as before isn't stored again, though it lies elsewhere in the spool", async () => {
  const tested = await makeTestRepository();
  const pages = pagesOf(8, 640, 1);
  const first = await capture(tested, fileOf(madeStream({ blocks: [{ id: "pc.ram", pages }] })));
  expect(first.statistics.newBytes).toBeGreaterThan(640 * 4096);
  const changed = pages.with(100, undefined);
  const blocks = [{ id: "pc.ram", pages: changed }];
  const order = [...madeOrder(blocks)].reverse();
  const second = await capture(tested, fileOf(madeStream({ blocks, order, perSection: 7 })));
  // One block of 128 KiB, the node above it, and nothing of the state.
  expect(second.statistics.newBytes).toBeLessThan(131_072 + 10_000);
  expect((await contentOf(tested, second.parts[1])).equals(bytesOf({ blocks })[0] ?? zero)).toBe(true);
});

test("pages of 64 KiB", async () => {
  const pages = [Buffer.alloc(65_536, 1), undefined, Buffer.alloc(65_536, 2)];
  const tested = await makeTestRepository();
  const { parts, memory } = await capture(tested, fileOf(madeStream({ blocks: [{ id: "ram", pages }], pageBits: 16 })));
  expect(memory?.page).toBe(65_536);
  const content = await contentOf(tested, parts[1]);
  expect(content.equals(Buffer.concat(pages.map((page) => page ?? Buffer.alloc(65_536))))).toBe(true);
});

test("a state that can't be taken apart is one stream", async () => {
  const made: MadeStream = { blocks: [{ id: "pc.ram", pages: pagesOf(9, 20) }] };
  const bytes = Buffer.concat([madeHead(made), madePages(made), named(1, 5, "block", 1, u(1, 0)), madeTail(made)]);
  const tested = await makeTestRepository();
  const { parts, memory, done } = await capture(tested, fileOf(bytes, Buffer.alloc(100_000)));
  expect(parts.map(({ name, kind }) => [name, kind])).toEqual([["state/stream", "stream"]]);
  expect(await contentOf(tested, parts[0])).toEqual(bytes);
  expect(memory).toEqual({ page: 4096, blocks: [] });
  expect(done).toBe(bytes.length);
});

test("a spool that shrinks while it is read is an error, never zeros", async () => {
  const made: MadeStream = { blocks: [{ id: "pc.ram", pages: pagesOf(10, 100, 1) }] };
  const file = fileOf(madeStream(made));
  const tested = await makeTestRepository();
  const error = await rejection(capture(tested, file, () => fs.truncateSync(file, 200_000)));
  expect(error).toMatchObject({ code: "stream_invalid" });
});
