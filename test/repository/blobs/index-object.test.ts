import { randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { BlobStore } from "../../../src/repository/blobs/blob-store.ts";
import type { Executor } from "../../../src/repository/threads/executor.ts";
import { tableEntryLength } from "../../../src/repository/format.ts";
import { sealIndexes } from "../../../src/repository/blobs/index-object.ts";
import type { PackInfo } from "../../../src/repository/blobs/pack.ts";
import { putIndex } from "../../../src/repository/sweep/indexes.ts";
import { WriteSession } from "../../../src/repository/blobs/write-session.ts";
import { makeTestRepository, namesOf } from "../../helpers/repository.ts";

/** Packs as millions of tiny files, or all the packs of a large repository, make them: together 320 MiB of tables. */
function manyBlobs(): PackInfo[] {
  const table = Buffer.alloc(400_000 * tableEntryLength);
  return Array.from({ length: 20 }, () => ({
    id: randomBytes(32).toString("hex"),
    class: "data" as const,
    size: 16 * 1024 * 1024,
    tableLength: table.length + 16,
    table,
  }));
}

const longestBody = 256 * 1024 * 1024;

test("no index object is too long to be opened again, however many blobs there are", async () => {
  const { repository } = await makeTestRepository();
  const packs = manyBlobs();
  expect(packs.reduce((sum, { table }) => sum + table.length, 0)).toBeGreaterThan(longestBody);
  await putIndex(repository, packs, {});
  const { lost } = await BlobStore.load(repository);
  expect(lost).toEqual(new Set(packs.map(({ id }) => id)));
});

test("a session that stores many tiny blobs writes several", async () => {
  const { repository } = await makeTestRepository();
  const store = await BlobStore.load(repository);
  let tell: (pack: PackInfo) => void = () => undefined;
  const session = new WriteSession(store, ({ onPack }) => {
    tell = onPack;
    const flush = (): Promise<object> => Promise.resolve({ newBytes: 0, storedBytes: 0 });
    return { parallel: 1, flush, close: () => Promise.resolve() } as unknown as Executor;
  });
  const packs = manyBlobs().slice(0, 4);
  for (const pack of packs) tell({ ...pack, table: randomBytes(120_000 * tableEntryLength) });
  await session.finish();
  await session.close();
  expect(await namesOf(repository.storage, "index/")).toHaveLength(2);
  expect((await BlobStore.load(repository)).lost).toEqual(new Set(packs.map(({ id }) => id)));
});

test("few packs share one, and none makes none", async () => {
  const { repository } = await makeTestRepository();
  const [pack] = manyBlobs();
  const small = { ...(pack as PackInfo), table: Buffer.alloc(tableEntryLength) };
  expect([...sealIndexes(repository.keys, [small, { ...small, id: "0".repeat(64) }])]).toHaveLength(1);
  expect([...sealIndexes(repository.keys, [])]).toHaveLength(0);
  await putIndex(repository, [], {});
  expect(await namesOf(repository.storage, "index/")).toEqual([]);
});
