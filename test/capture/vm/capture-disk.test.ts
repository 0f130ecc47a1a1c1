import { randomBytes } from "node:crypto";
import { afterEach, expect, test, vi } from "vitest";
import { captureDisk, type CapturedDisk, type Earlier } from "../../../src/capture/vm/capture-disk.ts";
import type { ExposedDisk } from "../../../src/capture/vm/points.ts";
import { NbdClient } from "../../../src/nbd/client.ts";
import { BlobStore } from "../../../src/repository/blobs/blob-store.ts";
import { packName } from "../../../src/repository/blobs/pack.ts";
import { blobKinds, headerLength, imageBlock, imageFanOut } from "../../../src/repository/format.ts";
import type { ImagePart } from "../../../src/repository/points/manifest.ts";
import { imageLeaves, isHole, readImageLeaf } from "../../../src/repository/tree/image-tree.ts";
import { captureContext } from "../../helpers/capture-context.ts";
import { alter, flipByte, makeTestRepository, type TestRepository } from "../../helpers/repository.ts";

/** Two leaves' worth, with something in the first block of each; the rest is zeros. */
const written = [0, imageFanOut];
const size = (imageFanOut + 1) * imageBlock;

afterEach(() => vi.restoreAllMocks());

function makeDisk(): Buffer {
  const disk = Buffer.alloc(size);
  for (const block of written) randomBytes(imageBlock).copy(disk, block * imageBlock);
  return disk;
}

let captures = 0;

/** Captures the disk, of which the first block is said to have changed. */
async function captureFrom({ repository }: TestRepository, disk: Buffer, earlier: Earlier): Promise<CapturedDisk> {
  const extents = (is: (block: number) => boolean, flags: number) =>
    Array.from({ length: size / imageBlock }, (_, n) => ({ length: imageBlock, flags: is(n) ? flags : 0 }));
  vi.spyOn(NbdClient, "connect").mockResolvedValue({
    size,
    close: async () => await Promise.resolve(),
    blockStatus: async (context: string) =>
      await Promise.resolve(
        context === "base:allocation" ? extents((n) => !written.includes(n), 2) : extents((n) => n === 0, 1),
      ),
    read: async (offset: number, into: Buffer) => {
      await Promise.resolve();
      disk.copy(into, 0, offset, offset + into.length);
    },
  } as unknown as NbdClient);
  const context = await captureContext(repository);
  captures += 1;
  const exposed = { disk: { name: "root" }, socket: `socket ${captures}`, export: "root", changes: "dirty" };
  const captured = await captureDisk(context, exposed as unknown as ExposedDisk, earlier, () => undefined);
  await context.session.finish();
  await context.session.close();
  return captured;
}

async function readBack({ repository }: TestRepository, part: ImagePart): Promise<Buffer> {
  const { reader } = await BlobStore.load(repository);
  const disk = Buffer.alloc(part.size);
  for await (const leaf of imageLeaves(reader, part)) {
    for (const [number, block] of (await readImageLeaf(reader, part, leaf)).entries()) {
      if (isHole(block)) continue;
      (await reader.read(blobKinds.data, block)).copy(disk, (leaf.leaf * imageFanOut + number) * imageBlock);
    }
  }
  return disk;
}

/** The pack with the nodes is the smaller one. */
async function packOfNodes({ repository }: TestRepository): Promise<string> {
  const { present } = await BlobStore.load(repository);
  const [smallest] = [...present.values()].toSorted((a, b) => a.size - b.size);
  return packName(smallest?.id ?? "");
}

test("what changed since the earlier point is read, and a sample", async () => {
  const tested = await makeTestRepository();
  const disk = makeDisk();
  const earlier = await captureFrom(tested, disk, "there is none");
  expect(earlier).toMatchObject({ read: 2 * imageBlock, reason: "there is none" });
  disk[0] = (disk[0] ?? 0) ^ 1;
  const later = await captureFrom(tested, disk, earlier.part);
  expect(later).toMatchObject({ reason: undefined });
  expect(later.problem).toBeUndefined();
  expect(disk.equals(await readBack(tested, later.part))).toBe(true);
});

test.each(["a leaf", "the root"])(
  "where %s of the earlier point is damaged the whole disk is read, which is told",
  async (what) => {
    const tested = await makeTestRepository();
    const disk = makeDisk();
    const earlier = await captureFrom(tested, disk, "there is none");
    const pack = await packOfNodes(tested);
    // The first node stored is the first leaf.
    if (what === "a leaf") await alter(tested.disk, pack, flipByte(headerLength + 5));
    else await tested.repository.storage.delete(pack);
    disk[0] = (disk[0] ?? 0) ^ 1;
    const later = await captureFrom(tested, disk, earlier.part);
    expect(later).toMatchObject({ read: 2 * imageBlock, reason: "the earlier point has damage" });
    expect(later.problem).toMatchObject({ code: "damaged", message: expect.stringContaining("repair") as string });
    expect(disk.equals(await readBack(tested, later.part))).toBe(true);
  },
);
