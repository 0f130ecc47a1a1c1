import { describe, expect, test } from "vitest";
import { BlobStore } from "../../src/repository/blobs/blob-store.ts";
import { loadCatalog } from "../../src/repository/points/catalog.ts";
import type { Damage } from "../../src/repository/points/unreadable.ts";
import { openRepository, type Repository } from "../../src/repository/repository.ts";
import type { Secret } from "../../src/repository/keys/key-objects.ts";
import type { ObjectInfo, SftpAddress, Storage } from "../../src/storage/storage.ts";
import { rejection } from "../helpers/rejection.ts";
import { captureTiny, makeTestRepository, overriding } from "../helpers/repository.ts";

const absurd = 2 ** 43;
const secret: Secret = { type: "key-file", secret: Buffer.alloc(32, 7) };

/** The storage with one more object, which nobody may read into memory. */
function withHuge(storage: Storage, name: string): Storage {
  const huge: ObjectInfo = { name, size: absurd, time: 0 };
  return overriding(storage, {
    async *list(prefix, options) {
      if (name.startsWith(prefix)) yield huge;
      for await (const info of storage.list(prefix, options)) if (info.name !== name) yield info;
    },
    stat: async (asked, options) => (asked === name ? huge : await storage.stat(asked, options)),
    get: async (asked, ...rest) => {
      if (asked === name) throw new RangeError("Array buffer allocation failed");
      return await storage.get(asked, ...rest);
    },
  });
}

async function repositoryWith(name: string): Promise<Repository> {
  const { repository } = await makeTestRepository();
  await captureTiny(repository, { image: [1, 2] });
  return { ...repository, storage: withHuge(repository.storage, name) };
}

const point = "0".repeat(32);

describe("an object of an absurd length", () => {
  test.each([`points/${point}/20300101T000000000Z-${point}`, `tags/${point}/9`, `holds/${point}`, `proofs/${point}/9`])(
    "is damage, and hides no recovery point: %s",
    async (name) => {
      const { points, damaged } = await loadCatalog(await repositoryWith(name));
      expect(points).toHaveLength(1);
      expect(damaged).toEqual([{ name, error: expect.objectContaining({ code: "damaged" }) as unknown }]);
    },
  );

  test.each([`index/${"0".repeat(64)}`, "sweeps/20300101T000000000Z-0000000000000000"])(
    "is damage when the index is loaded, and takes no memory: %s",
    async (name) => {
      const repository = await repositoryWith(name);
      expect(await rejection(BlobStore.load(repository))).toMatchObject({ code: "damaged" });
      const damaged: Damage[] = [];
      const store = await BlobStore.load(repository, { onDamage: (damage) => void damaged.push(damage) });
      expect(damaged).toMatchObject([{ name }]);
      expect(store.index.count).toBeGreaterThan(0);
    },
  );

  test("is refused in the place of the format, and passed over among the keys", async () => {
    const { clock, storage } = await repositoryWith("format");
    expect(await rejection(openRepository({ storage, clock, secret }))).toMatchObject({ code: "damaged" });
    // Far away it is begun to be read while its length is asked for, and then left.
    const left: (boolean | undefined)[] = [];
    const hanging = overriding(storage, {
      get: async (_, __, { signal } = {}) => {
        await new Promise<void>((resolve) => {
          signal?.addEventListener("abort", () => resolve(), { once: true });
        });
        left.push(signal?.aborted);
        return Buffer.alloc(0);
      },
    });
    const far = { storage: hanging, clock, secret, address: { kind: "sftp", location: "far" } as SftpAddress };
    expect(await rejection(openRepository(far))).toMatchObject({ code: "damaged" });
    expect(left).toEqual([true]);
    const other = await repositoryWith("keys/0000000000000000");
    await openRepository({ storage: other.storage, clock, secret });
  });
});
