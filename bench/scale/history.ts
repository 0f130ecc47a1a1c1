/** 1,000 points of one image: whether restoring the newest costs more than restoring the first. */
import { createCipheriv } from "node:crypto";
import { rmSync } from "node:fs";
import * as path from "node:path";
import { BlobStore } from "../../src/repository/blobs/blob-store.ts";
import { commitPoint } from "../../src/repository/points/catalog.ts";
import { inlineExecutor } from "../../src/repository/threads/executor.ts";
import { blobKinds, imageBlock, imageFanOut } from "../../src/repository/format.ts";
import type { Repository } from "../../src/repository/repository.ts";
import { joinNode, writeImageTree } from "../../src/repository/tree/image-tree.ts";
import { WriteSession } from "../../src/repository/blobs/write-session.ts";
import { settle } from "../data.ts";
import { measure } from "../measure.ts";
import type { Results } from "../results.ts";
import { initialise, manifestOf, openUndurably, verb } from "./repository.ts";

const points = 1000;
const imageSize = 2 ** 30;
const blocks = imageSize / imageBlock;
/** Changed between two points: 1 MiB in all, at random places. */
const changedBlocks = 8;
const hour = 3_600_000;
const rounds = 3;

const random = createCipheriv("aes-256-ctr", Buffer.alloc(32, 3), Buffer.alloc(16));
const noise = (length: number): Buffer => random.update(Buffer.alloc(length));

export async function measureHistory(folder: string, results: Results): Promise<void> {
  console.log("1,000 points of one image: making them");
  await initialise(folder, { sources: ["vm0"], replica: false });
  const { first, newest } = await fill(await openUndurably(folder, "repository"));
  const seconds = { first: [] as number[], newest: [] as number[] };
  for (let round = 0; round < rounds; round++) {
    for (const [name, id] of [
      ["first", first],
      ["newest", newest],
    ] as const) {
      await settle(path.join(folder, "repository"));
      const target = path.join(folder, "restored");
      seconds[name].push((await measure(verb(folder, "restore", id, "--to", target, "--quiet"))).seconds);
      rmSync(target);
    }
  }
  const median = (values: readonly number[]): number =>
    values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
  const { facts } = results;
  facts["1,000 points of an image: seconds to restore the first"] = median(seconds.first);
  facts["1,000 points of an image: seconds to restore the newest"] = median(seconds.newest);
  facts["1,000 points of an image: the newest's restore takes longer than the first's by"] =
    (median(seconds.newest) / median(seconds.first) - 1) * 100;
}

/** As captures would leave it: each has packs of its own, with what had changed. */
async function fill(repository: Repository): Promise<{ readonly first: string; readonly newest: string }> {
  const ids: Buffer[] = [];
  const leaves: Buffer[] = [];
  const start = Date.now() - points * hour;
  const store = await BlobStore.load(repository);
  const made: string[] = [];
  let previous: string | null = null;
  for (let number = 0; number < points; number++) {
    const session = new WriteSession(store, inlineExecutor);
    const places = Array.from({ length: number === 0 ? blocks : changedBlocks }, (_, place) =>
      number === 0 ? place : noise(4).readUInt32BE() % blocks,
    );
    for (const place of places) ids[place] = await session.writer.add(blobKinds.data, content());
    for (const leaf of new Set(places.map((place) => Math.floor(place / imageFanOut)))) {
      const node = joinNode(ids.slice(leaf * imageFanOut, (leaf + 1) * imageFanOut));
      if (node !== undefined) leaves[leaf] = await session.writer.add(blobKinds.imageNode, node);
    }
    const tree = await writeImageTree(session.writer, imageSize, imageBlock, leaves);
    await session.finish();
    const part = { name: "image", kind: "image", ...tree } as const;
    const manifest = manifestOf(repository, { source: "vm0", time: start + number * hour, part, previous });
    const point = await commitPoint(repository, manifest);
    previous = point.digest;
    made.push(point.id);
  }
  return { first: made[0] ?? "", newest: made.at(-1) ?? "" };
}

/** A block that shrinks to about the half, as real ones do. */
function content(): Buffer {
  return Buffer.concat([noise(imageBlock / 2), Buffer.alloc(imageBlock / 2, 7)]);
}
