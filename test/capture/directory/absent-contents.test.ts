import { expect, test } from "vitest";
import {
  absentContents,
  type ContentStore,
  type StoredContent,
} from "../../../src/capture/directory/absent-contents.ts";
import { BlobStore } from "../../../src/repository/blobs/blob-store.ts";
import { inlineExecutor } from "../../../src/repository/threads/executor.ts";
import { blobKinds, streamFanOut } from "../../../src/repository/format.ts";
import { hole } from "../../../src/repository/tree/image-tree.ts";
import { type Chunk, writeStreamTree } from "../../../src/repository/tree/stream-tree.ts";
import { WriteSession } from "../../../src/repository/blobs/write-session.ts";
import { block, blockLength, makeTestRepository } from "../../helpers/repository.ts";

/** Some contents, as the seeds of their chunks (0: a hole); the last one has two levels of nodes. */
const seeds: Readonly<Record<string, readonly number[]>> = {
  empty: [],
  holes: [0, 0],
  one: [1],
  three: [2, 0, 3],
  many: [...Array.from({ length: streamFanOut }, () => 2), 4],
};

async function makeStore() {
  const { repository } = await makeTestRepository();
  const session = new WriteSession(await BlobStore.load(repository), inlineExecutor);
  const contents = new Map<string, StoredContent>();
  for (const [name, list] of Object.entries(seeds)) {
    const chunks: Chunk[] = [];
    for (const seed of list)
      chunks.push({ id: seed === 0 ? hole : await session.writer.add(blobKinds.data, block(seed)), size: blockLength });
    contents.set(name, await writeStreamTree(session.writer, chunks));
  }
  await session.finish();
  await session.close();
  const { reader, index } = await BlobStore.load(repository);
  const absent = async (store: Partial<ContentStore>): Promise<string[]> => {
    const found = await absentContents({ reader, writer: index, ...store }, [...contents.values()]);
    return [...contents].filter(([, content]) => found.has(content)).map(([name]) => name);
  };
  const without = (id: Buffer): ContentStore["writer"] => ({ has: (other) => !other.equals(id) && index.has(other) });
  const chunk = (seed: number): Buffer => repository.keys.blobId(blobKinds.data, block(seed));
  const root = (name: string): Buffer => Buffer.from(contents.get(name)?.root ?? "", "hex");
  return { reader, absent, without, chunk, root };
}

test("contents that are there are not absent, and their data isn't read", async () => {
  const { reader, absent } = await makeStore();
  const kinds: number[] = [];
  const counting: ContentStore["reader"] = {
    readMany: async (kind, ...rest) => {
      kinds.push(kind);
      await reader.readMany(kind, ...rest);
    },
  };
  expect(await absent({ reader: counting })).toEqual([]);
  expect(new Set(kinds)).toEqual(new Set([blobKinds.streamNode]));
});

test("a chunk or node that isn't there makes each content absent that names it, at any depth", async () => {
  const { absent, without, chunk, root } = await makeStore();
  expect(await absent({ writer: without(chunk(1)) })).toEqual(["one"]);
  expect(await absent({ writer: without(chunk(2)) })).toEqual(["three", "many"]);
  expect(await absent({ writer: without(chunk(4)) })).toEqual(["many"]);
  expect(await absent({ writer: without(root("three")) })).toEqual(["three"]);
});

test("so does a node that can't be read, or is another's", async () => {
  const { reader, absent, root } = await makeStore();
  const giving = (instead: (raw: Buffer) => Buffer | Error): ContentStore["reader"] => ({
    readMany: async (kind, ids, use, options) =>
      await reader.readMany(
        kind,
        ids,
        async (position, raw) =>
          await use(position, ids[position]?.equals(root("three")) && Buffer.isBuffer(raw) ? instead(raw) : raw),
        options,
      ),
  });
  expect(await absent({ reader: giving(() => new Error("lost")) })).toEqual(["three"]);
  expect(await absent({ reader: giving((raw) => raw.subarray(40)) })).toEqual(["three"]);
});
