import { writeFileSync } from "node:fs";
import { open, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { captureImage } from "../../../src/capture/image/capture-image.ts";
import type { Captured } from "../../../src/capture/capture.ts";
import { BlobStore } from "../../../src/repository/blobs/blob-store.ts";
import type { WriteStatistics } from "../../../src/repository/blobs/blob-writer.ts";
import { commitPoint, loadCatalog } from "../../../src/repository/points/catalog.ts";
import { inlineExecutor } from "../../../src/repository/threads/executor.ts";
import { blobKinds, imageBlock } from "../../../src/repository/format.ts";
import { openIndex, sealIndex } from "../../../src/repository/blobs/index-object.ts";
import type { ImagePart, RecoveryPoint } from "../../../src/repository/points/manifest.ts";
import { packName } from "../../../src/repository/blobs/pack.ts";
import { createRepository, type Repository } from "../../../src/repository/repository.ts";
import { imageLeaves, isHole, readImageLeaf } from "../../../src/repository/tree/image-tree.ts";
import { WriteSession } from "../../../src/repository/blobs/write-session.ts";
import { ManualClock } from "../../helpers/manual-clock.ts";
import { memoryStorage } from "../../helpers/memory-storage.ts";
import { rejection } from "../../helpers/rejection.ts";
import { tempDir } from "../../helpers/temp-dir.ts";

const clock = new ManualClock();

async function makeRepository(): Promise<Repository> {
  const key = { type: "key-file", secret: Buffer.alloc(32, 5) } as const;
  return await createRepository({ storage: await memoryStorage(), clock, key, label: "test" });
}

async function capture(
  repository: Repository,
  path: string,
  previous?: RecoveryPoint,
): Promise<{ captured: Captured; statistics: WriteStatistics; point: RecoveryPoint }> {
  const store = await BlobStore.load(repository);
  const session = new WriteSession(store, inlineExecutor);
  const context = { session, reader: store.reader, clock, previous, signal: undefined, progress: () => undefined };
  const captured = await captureImage(context, { path });
  const statistics = await session.finish();
  const time = new Date(clock.now()).toISOString();
  const point = await commitPoint(repository, {
    version: 1,
    repository: repository.keys.repositoryId,
    source: "image",
    policy: "test",
    host: "test",
    kind: "image",
    time,
    started: time,
    finished: time,
    consistency: captured.consistency,
    parts: [...captured.parts],
    previous: previous?.digest ?? null,
    tags: [],
    statistics: { size: captured.size, read: captured.read, new: statistics.newBytes, stored: statistics.storedBytes },
    left_out: [],
    left_out_count: 0,
    software: { stillpoint: "test", node: "test", kernel: "test" },
  });
  await clock.advance(1000);
  return { captured, statistics, point };
}

/** The whole image, put together again from its tree. */
async function contentOf(repository: Repository, point: RecoveryPoint): Promise<Buffer> {
  const { reader } = await BlobStore.load(repository);
  const part = point.manifest.parts[0] as ImagePart;
  const image = Buffer.alloc(part.size);
  for await (const leaf of imageLeaves(reader, part)) {
    const ids = await readImageLeaf(reader, part, leaf);
    for (const [position, id] of ids.entries()) {
      if (isHole(id)) continue;
      (await reader.read(blobKinds.data, id)).copy(image, (leaf.leaf * 256 + position) * part.block);
    }
  }
  return image;
}

/** Images as runs of zeros, of one byte, and of noise, not ending at a block. */
const image = fc
  .array(
    fc.record({
      fill: fc.constantFrom("zeros", "same", "noise"),
      length: fc.integer({ min: 1, max: 3 * imageBlock }),
      seed: fc.nat(255),
    }),
    { maxLength: 6 },
  )
  .map((runs) => Buffer.concat(runs.map(({ fill, length, seed }) => pattern(fill, length, seed))));

function pattern(fill: string, length: number, seed: number): Buffer {
  if (fill === "zeros") return Buffer.alloc(length);
  if (fill === "same") return Buffer.alloc(length, seed + 1);
  const noise = Buffer.alloc(length);
  let state = seed + 1;
  for (let at = 0; at < length; at++) noise[at] = (state = Math.imul(state, 1_103_515_245) + 12_345) >>> 16;
  return noise;
}

describe("captureImage", () => {
  test("every point of a sequence is the image of its moment, whatever was written in between", async () => {
    const path = join(await tempDir(), "disk.img");
    await fc.assert(
      fc.asyncProperty(fc.array(image, { minLength: 1, maxLength: 4 }), async (versions) => {
        const repository = await makeRepository();
        const points: RecoveryPoint[] = [];
        for (const version of versions) {
          await writeFile(path, version);
          points.push((await capture(repository, path, points.at(-1))).point);
        }
        for (const [position, point] of points.entries()) {
          expect((await contentOf(repository, point)).equals(versions[position] as Buffer)).toBe(true);
        }
        expect((await loadCatalog(repository)).points.map(({ id }) => id)).toEqual(points.map(({ id }) => id));
      }),
      { numRuns: 8 },
    );
  });

  test.each([
    ["the blocks", ["data"]],
    ["the tree", ["metadata"]],
    ["both", ["data", "metadata"]],
  ])("a loss that no index tells of is made good by the next capture: %s", async (_, lost) => {
    const path = join(await tempDir(), "disk.img");
    const content = pattern("noise", 3 * imageBlock, 1);
    await writeFile(path, content);
    const repository = await makeRepository();
    const { keys, storage } = repository;
    const first = await capture(repository, path);
    const { indexes } = await BlobStore.load(repository);
    for (const { name } of indexes) {
      const packs = openIndex(keys, name, await storage.get(name));
      const left = sealIndex(
        keys,
        packs.filter((pack) => !lost.includes(pack.class)),
      );
      await storage.put(left.name, [left.data]);
      await storage.delete(name);
      for (const pack of packs) if (lost.includes(pack.class)) await storage.delete(packName(pack.id));
    }
    const second = await capture(repository, path, first.point);
    for (const { point } of [first, second]) expect((await contentOf(repository, point)).equals(content)).toBe(true);
  });

  test("the same content again stores nothing, with and without the previous point", async () => {
    const repository = await makeRepository();
    const path = join(await tempDir(), "disk.img");
    await writeFile(path, pattern("noise", 5 * imageBlock + 77, 1));
    const first = await capture(repository, path);
    expect(first.statistics.newBytes).toBeGreaterThan(5 * imageBlock);
    expect((await capture(repository, path, first.point)).statistics).toEqual({ newBytes: 0, storedBytes: 0 });
    expect((await capture(repository, path)).statistics).toEqual({ newBytes: 0, storedBytes: 0 });
  });

  test("one changed byte costs its block and the nodes above", async () => {
    const repository = await makeRepository();
    const path = join(await tempDir(), "disk.img");
    const file = await open(path, "w");
    // A block in each of three nodes; all others are holes.
    for (const block of [0, 300, 599])
      await file.write(pattern("noise", imageBlock, block), 0, imageBlock, block * imageBlock);
    const first = await capture(repository, path);
    await file.write(Buffer.of(1), 0, 1, 300 * imageBlock + 5);
    await file.close();
    const { statistics } = await capture(repository, path, first.point);
    expect(statistics.newBytes).toBe(imageBlock + 256 * 32 + 3 * 32);
  });

  test("a sparse image of a tebibyte would be a hole: a large one of zeros stores nothing", async () => {
    const repository = await makeRepository();
    const path = join(await tempDir(), "disk.img");
    await writeFile(path, "");
    await truncate(path, 300 * imageBlock);
    const { captured, statistics } = await capture(repository, path);
    expect(captured.parts[0]).toMatchObject({ size: 300 * imageBlock, depth: 2, root: "0".repeat(64) });
    expect(statistics.newBytes).toBe(0);
  });

  test("an image that nobody wrote to is crash consistent; one that changed meanwhile isn't", async () => {
    const repository = await makeRepository();
    const path = join(await tempDir(), "disk.img");
    await writeFile(path, pattern("noise", 100, 3));
    expect((await capture(repository, path)).captured.consistency).toBe("crash");
    const store = await BlobStore.load(repository);
    const session = new WriteSession(store, inlineExecutor);
    // Several times, as it depends on where the kernel's clock is: it stamps both writes, and ticks every 10 ms at most.
    for (let seed = 4; seed < 10; seed++) {
      writeFileSync(path, pattern("noise", 100, seed));
      // Between the last block that is read and the look at the file's times.
      const progress = (): void => writeFileSync(path, pattern("noise", 100, seed + 100));
      const { consistency } = await captureImage(
        { session, reader: store.reader, clock, previous: undefined, signal: undefined, progress },
        { path },
      );
      expect(consistency).toBe("none");
    }
  });

  test("what isn't there, or isn't an image, is said", async () => {
    const repository = await makeRepository();
    const folder = await tempDir();
    expect(await rejection(capture(repository, join(folder, "nothing")))).toMatchObject({ code: "source_missing" });
    expect(await rejection(capture(repository, folder))).toMatchObject({ code: "source_missing" });
    expect((await loadCatalog(repository)).points).toEqual([]);
  });
});
