import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BlobStore } from "../../../src/repository/blobs/blob-store.ts";
import { blobKinds } from "../../../src/repository/format.ts";
import { markBlobs, type MarkProblem } from "../../../src/repository/mark/mark.ts";
import { pathOf } from "../../../src/repository/mark/mark-node.ts";
import { IdSet, MarkSet } from "../../../src/repository/mark/mark-set.ts";
import { packName } from "../../../src/repository/blobs/pack.ts";
import { rejection } from "../../helpers/rejection.ts";
import { block, captureTiny, makeTestRepository, type TinyContent } from "../../helpers/repository.ts";

describe("sets of ids", () => {
  test("hold what was added and nothing else, however many", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(2000), { maxLength: 3000 }), (numbers) => {
        const set = new IdSet();
        const known = new Set<number>();
        // Ids that begin alike, so that they meet in the table.
        const idOf = (n: number): Buffer =>
          Buffer.concat([Buffer.alloc(28, n % 3), Buffer.from([0, 0, n >> 8, n & 255])]);
        for (const n of numbers) {
          expect(set.add(idOf(n))).toBe(!known.has(n));
          known.add(n);
        }
        expect(set.count).toBe(known.size);
        expect(set.has(idOf(2001))).toBe(false);
      }),
      { numRuns: 5 },
    );
  });

  test("tell data from nodes", () => {
    const marks = new MarkSet();
    const id = randomBytes(32);
    expect([marks.add(blobKinds.data, id), marks.add(blobKinds.data, id), marks.add(blobKinds.imageNode, id)]).toEqual([
      true,
      false,
      true,
    ]);
    expect(marks.count).toBe(2);
  });
});

describe("marking", () => {
  test("finds every blob of all kinds of trees, and reads each node once", async () => {
    const { repository } = await makeTestRepository();
    const image = Array.from({ length: 700 }, (_, i) => (i % 7 === 0 ? 0 : 1 + (i % 5)));
    const points = [
      await captureTiny(repository, { image, files: { a: [6, 7, 8], b: [9], empty: [] } }),
      await captureTiny(repository, { image, files: { a: [6, 7, 10] } }),
    ];
    const store = await BlobStore.load(repository);
    const read: string[] = [];
    const reader: Pick<typeof store.reader, "readMany"> = {
      readMany: async (kind, ids, ...rest) => {
        read.push(...ids.map((id) => id.toString("hex")));
        await store.reader.readMany(kind, ids, ...rest);
      },
    };
    const marks = await markBlobs({ reader, index: store.index }, points);
    expect(new Set(read).size).toBe(read.length);
    expect(marks.count).toBe(store.index.count);
    for (let seed = 1; seed <= 10; seed++) {
      expect(marks.has(blobKinds.data, repository.keys.blobId(blobKinds.data, block(seed)))).toBe(true);
    }
  });

  test("says which point and path needs what is missing, and goes on when asked to", async () => {
    const { repository } = await makeTestRepository();
    const point = await captureTiny(repository, { image: [1, 2], files: { letter: [3], other: [4] } });
    const store = await BlobStore.load(repository);
    for (const [, pack] of store.packs.all())
      if (pack.class === "data") await repository.storage.delete(packName(pack.id));
    const broken = await BlobStore.load(repository);
    const error = await rejection(markBlobs(broken, [point]));
    expect(error).toMatchObject({ code: "damaged", message: expect.stringContaining(point.id.slice(0, 12)) });
    const problems: MarkProblem[] = [];
    const onProblem = async (problem: MarkProblem): Promise<undefined> => {
      problems.push(problem);
      return await Promise.resolve(undefined);
    };
    const marks = await markBlobs(broken, [point], { onProblem });
    expect(problems.map(({ node }) => pathOf(node.place).path ?? "").sort()).toEqual([
      "data/letter",
      "data/other",
      "image",
      "image",
    ]);
    expect(marks.count).toBe(store.index.count);
  });

  test.each<TinyContent>([{ files: { letter: [3] } }, { image: [1] }])(
    "ends when what is told of a problem rejects: %j",
    async (content) => {
      const { repository } = await makeTestRepository();
      const point = await captureTiny(repository, content);
      const store = await BlobStore.load(repository);
      const source = { reader: store.reader, index: { has: () => false } };
      const onProblem = async (): Promise<undefined> => await Promise.reject(new Error("no more"));
      expect(await rejection(markBlobs(source, [point], { onProblem }))).toMatchObject({ message: "no more" });
    },
  );
});
