import { randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { type IndexObject, openIndexes } from "../../../src/repository/blobs/open-indexes.ts";
import { sealIndex } from "../../../src/repository/blobs/index-object.ts";
import { KeyRing } from "../../../src/repository/keys/key-ring.ts";
import type { Storage } from "../../../src/storage/storage.ts";

const keys = new KeyRing({ masterKey: Buffer.alloc(32, 1), repositoryId: Buffer.alloc(16, 2) });
const mebibyte = 1024 * 1024;

/** As many index objects of one pack each, and a storage that answers when it is told to. */
function slowIndexes(count: number) {
  const sealed = Array.from({ length: count }, () => {
    const pack = { id: randomBytes(32).toString("hex"), class: "data", size: 1000, tableLength: 16 } as const;
    return { id: pack.id, ...sealIndex(keys, [{ ...pack, table: Buffer.alloc(0) }]) };
  });
  const contents = new Map(sealed.map(({ name, data }) => [name, data]));
  const waiting: (() => void)[] = [];
  const get: Storage["get"] = async (name) => {
    await new Promise<void>((resolve) => void waiting.push(resolve));
    return contents.get(name) as Buffer;
  };
  const storage = { get } as Storage;
  const indexes: IndexObject[] = sealed.map(({ name, data }) => ({ name, size: data.length }));
  return { repository: { keys, storage }, indexes, waiting, contents, ids: sealed.map(({ id }) => id) };
}

async function idsOf(opened: ReturnType<typeof openIndexes>): Promise<string[]> {
  const ids: string[] = [];
  for await (const { packs } of opened) ids.push(...packs.map(({ id }) => id));
  return ids;
}

test("small index objects, as each capture leaves one, are read many at once, and come in order", async () => {
  const { repository, indexes, waiting, ids } = slowIndexes(100);
  const opening = idsOf(openIndexes(repository, indexes));
  let rounds = 0;
  for (; rounds < 100; rounds++) {
    await new Promise(setImmediate);
    if (waiting.length === 0) break;
    // The last that was asked for is answered first.
    for (const answer of waiting.splice(0).toReversed()) answer();
  }
  expect(await opening).toEqual(ids);
  expect(rounds).toBeLessThanOrEqual(4);
});

test("large ones are not: they would fill the memory", async () => {
  const { repository, indexes, waiting } = slowIndexes(20);
  const opening = idsOf(
    openIndexes(
      repository,
      indexes.map(({ name }) => ({ name, size: 8 * mebibyte })),
    ),
  );
  await new Promise(setImmediate);
  expect(waiting).toHaveLength(4);
  for (; waiting.length > 0; await new Promise(setImmediate)) for (const answer of waiting.splice(0)) answer();
  expect(await opening).toHaveLength(20);
});

test("a damaged one is thrown; where there is someone to be told of it, it is left out", async () => {
  const { repository, indexes, waiting, ids, contents } = slowIndexes(3);
  const broken = indexes[1]?.name ?? "";
  contents.set(broken, Buffer.alloc(100));
  const damaged: string[] = [];
  const onDamage = ({ name }: { readonly name: string }): void => void damaged.push(name);
  const told = idsOf(openIndexes(repository, indexes, { onDamage }));
  const thrown = idsOf(openIndexes(repository, indexes)).catch((error: unknown) => error);
  await new Promise(setImmediate);
  for (const answer of waiting) answer();
  expect(await told).toEqual([ids[0], ids[2]]);
  expect(damaged).toEqual([broken]);
  expect(await thrown).toMatchObject({ code: "damaged" });
});
