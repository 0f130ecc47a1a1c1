import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { StillpointError } from "../../../src/errors.ts";
import { BlobStore } from "../../../src/repository/blobs/blob-store.ts";
import type { BlobReader } from "../../../src/repository/blobs/blob-reader.ts";
import { packName } from "../../../src/repository/blobs/pack.ts";
import { blobKinds } from "../../../src/repository/format.ts";
import type { ImagePart, RecoveryPoint } from "../../../src/repository/points/manifest.ts";
import { hole, readImageNode } from "../../../src/repository/tree/image-tree.ts";
import { BlobCache } from "../../../src/restore/serve/blob-cache.ts";
import { ImageSource } from "../../../src/restore/serve/image-source.ts";
import { PointImages } from "../../../src/restore/serve/point-images.ts";
import { alter, block, blockLength, captureTiny, flipByte, makeTestRepository } from "../../helpers/repository.ts";
import { rejection } from "../../helpers/rejection.ts";

interface Served {
  readonly source: ImageSource;
  readonly content: Buffer;
  readonly point: RecoveryPoint;
}

function contentOf(image: readonly number[]): Buffer {
  return Buffer.concat(image.map((seed) => (seed === 0 ? Buffer.alloc(blockLength) : block(seed))));
}

const { repository: shared } = await makeTestRepository();

async function served(image: readonly number[], repository = shared): Promise<Served> {
  const point = await captureTiny(repository, { image });
  const store = await BlobStore.load(repository);
  const images = new PointImages({ repository, store, point, cache: 4096 });
  return { source: images.part("image"), content: contentOf(image), point };
}

/** Images of one block, of one node, and of several under each other. */
const seeds = fc.oneof(
  fc.array(fc.nat(3), { minLength: 1, maxLength: 1 }),
  fc.array(fc.nat(3), { minLength: 1, maxLength: 40 }),
  fc
    .tuple(fc.array(fc.nat(3), { maxLength: 20 }), fc.nat(1200), fc.array(fc.nat(3), { minLength: 1, maxLength: 20 }))
    .map(([before, holes, after]) => [...before, ...Array<number>(holes).fill(0), ...after]),
);

describe("an image served from a repository", () => {
  it("reads as the image does, anywhere, at once", async () => {
    await fc.assert(
      fc.asyncProperty(
        seeds,
        fc.array(fc.tuple(fc.nat(), fc.nat(5000)), { minLength: 1, maxLength: 20 }),
        async (image, ranges) => {
          const { source, content } = await served(image);
          const reads = ranges.map(async ([at, most]) => {
            const offset = at % content.length;
            const length = Math.min(most, content.length - offset);
            const bytes = (await source.read(offset, length)) ?? Buffer.alloc(length);
            expect(Buffer.from(bytes).equals(content.subarray(offset, offset + length))).toBe(true);
          });
          await Promise.all(reads);
        },
      ),
      { numRuns: 60 },
    );
  });

  it("describes exactly its holes", async () => {
    await fc.assert(
      fc.asyncProperty(seeds, fc.nat(), fc.nat(), async (image, from, most) => {
        const { source, content } = await served(image);
        const offset = from % content.length;
        const end = offset + 1 + (most % (content.length - offset));
        const runs = await source.runs(offset, end - offset);
        let at = offset;
        for (const [number, run] of runs.entries()) {
          expect(run.length).toBeGreaterThan(0);
          expect(run.hole).not.toBe(runs[number - 1]?.hole);
          const blocks = image.slice(Math.floor(at / blockLength), Math.ceil((at + run.length) / blockLength));
          expect(blocks.every((seed) => (seed === 0) === run.hole)).toBe(true);
          at += run.length;
        }
        expect(at).toBe(end);
      }),
      { numRuns: 60 },
    );
  });

  it("finds its way through three levels of nodes, and passes over holes of any size at once", async () => {
    const image = Array<number>(256 * 256 + 300).fill(0);
    for (const at of [0, 255, 256, 65_535, 65_536, 65_835]) image[at] = at + 1;
    const { source, point } = await served(image);
    expect((point.manifest.parts[0] as ImagePart).depth).toBe(3);
    for (const at of [0, 255, 256, 65_535, 65_536, 65_835])
      expect(Buffer.from((await source.read(at * blockLength, blockLength)) ?? []).equals(block(at + 1))).toBe(true);
    expect(await source.read(300 * blockLength, 65_000 * blockLength)).toBeUndefined();
    const runs = await source.runs(0, source.size);
    expect(runs.map((run) => [run.length / blockLength, run.hole])).toEqual([
      [1, false],
      [254, true],
      [2, false],
      [65_278, true],
      [2, false],
      [298, true],
      [1, false],
    ]);
  });

  it("says what is damaged, and serves the rest", async () => {
    const test = await makeTestRepository();
    const point = await captureTiny(test.repository, { image: [1, 2] });
    const { reader, index } = await BlobStore.load(test.repository);
    const [first = hole] = await readImageNode(reader, Buffer.from((point.manifest.parts[0] as ImagePart).root, "hex"));
    const [number = 0] = index.packsOf(first);
    const pack = await reader.openPack(number);
    await alter(test.disk, packName(pack.id), flipByte(pack.table.find(blobKinds.data, first)?.offset ?? 0));
    const store = await BlobStore.load(test.repository);
    const source = new PointImages({ repository: test.repository, store, point }).disk("image");
    const results = await Promise.allSettled([source.read(0, 512), source.read(512, 512)]);
    const failed = results.filter((one) => one.status === "rejected").map((one) => one.reason as StillpointError);
    expect(failed.map(({ code }) => code)).toEqual(["damaged"]);
    expect(results[0]?.status).toBe("rejected");
  });

  it.each([
    ["near", 0, [1, 1, 1, 1, 1, 1]],
    ["far", 8 * blockLength, [8, 8]],
  ])("reads what lies about a block along with it only where the repository is far: %s", async (_, about, expected) => {
    const { repository } = await makeTestRepository();
    const image = Array.from({ length: 40 }, (__, number) => number + 1);
    const point = await captureTiny(repository, { image });
    const { reader } = await BlobStore.load(repository);
    const reads: number[] = [];
    const counting: Pick<BlobReader, "readMany"> = {
      readMany: async (kind, ids, use) => {
        if (kind === blobKinds.data) reads.push(ids.length);
        await reader.readMany(kind, ids, use);
      },
    };
    const cache = new BlobCache({ reader: counting, renew: () => Promise.resolve(undefined), limit: 1e6 });
    const source = new ImageSource(point.manifest.parts[0] as ImagePart, cache, { ahead: 0, about });
    for (const number of [3, 1, 6, 2, 7, 12]) {
      const read = await source.read(number * blockLength, blockLength);
      expect(Buffer.from(read ?? []).equals(block(number + 1))).toBe(true);
    }
    expect(reads).toEqual(expected);
  });

  it("refuses a tree that isn't of the image's size", async () => {
    const { repository } = await makeTestRepository();
    const point = await captureTiny(repository, { image: [1, 2, 3] });
    const part = point.manifest.parts[0] as ImagePart;
    const { reader } = await BlobStore.load(repository);
    const cache = new BlobCache({ reader, renew: () => Promise.resolve(undefined), limit: 1e6 });
    for (const size of [2 * blockLength, 4 * blockLength, 3 * blockLength - 1]) {
      const source = new ImageSource({ ...part, size }, cache);
      expect(
        (await rejection(source.read(2 * blockLength - 1, Math.min(2, size - 2 * blockLength + 1)))).message,
      ).toMatch(/children|length/);
      if (size > 2 * blockLength) break;
    }
  });

  it("ends the waiting, not the reading, when a client leaves", async () => {
    const { source, content } = await served([1, 2]);
    const stop = new AbortController();
    const waiting = rejection(source.read(0, 1024, stop.signal));
    stop.abort();
    expect((await waiting).message).toContain("cancelled");
    expect(Buffer.from((await source.read(0, 1024)) ?? []).equals(content)).toBe(true);
  });

  it("knows its disks by name", async () => {
    const { repository } = await makeTestRepository();
    const point = await captureTiny(repository, { image: [1] });
    const images = new PointImages({ repository, store: await BlobStore.load(repository), point });
    expect(images.disks).toEqual(["image"]);
    expect(() => images.disk("vda")).toThrow(/has no disk "vda".*"image"/);
    const [part] = point.manifest.parts as [ImagePart];
    const manifest = {
      ...point.manifest,
      kind: "vm" as const,
      parts: ["disk/vda", "memory/0"].map((name) => ({ ...part, name })),
    };
    const machine = new PointImages({
      repository,
      store: await BlobStore.load(repository),
      point: { ...point, manifest },
    });
    expect(machine.disks).toEqual(["vda"]);
    expect(machine.part("memory/0").size).toBe(blockLength);
  });
});
