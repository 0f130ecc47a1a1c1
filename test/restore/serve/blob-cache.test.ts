import { describe, expect, it } from "vitest";
import { StillpointError } from "../../../src/errors.ts";
import { blobKinds } from "../../../src/repository/format.ts";
import { BlobCache, type BlobCacheOptions } from "../../../src/restore/serve/blob-cache.ts";
import { rejection } from "../../helpers/rejection.ts";

const id = (number: number): Buffer => Buffer.alloc(32, number);
const content = (number: number): Buffer => Buffer.alloc(100, number);

/** Has what `there` says, and notes which blobs it was asked for. */
class FakeReader {
  readonly asked: number[][] = [];
  there: (number: number) => boolean;

  constructor(there: (number: number) => boolean = () => true) {
    this.there = there;
  }

  readMany: BlobCacheOptions["reader"]["readMany"] = async (_, ids, use) => {
    this.asked.push(ids.map(([number = 0]) => number));
    for (const [position, [number = 0]] of ids.entries()) {
      await Promise.resolve();
      await use(
        position,
        this.there(number) ? content(number) : new StillpointError("damaged", { what: `lost ${number}` }),
      );
    }
  };
}

const nothingNewer = (): Promise<undefined> => Promise.resolve(undefined);

describe("BlobCache", () => {
  it("reads a blob once, however many want it at the same time, and later", async () => {
    const reader = new FakeReader();
    const cache = new BlobCache({ reader, renew: nothingNewer, limit: 1000 });
    const [first, second] = await Promise.all([
      cache.read(blobKinds.data, [id(1), id(2)]),
      cache.read(blobKinds.data, [id(2), id(3), id(2)]),
    ]);
    expect(first).toEqual([content(1), content(2)]);
    expect(second).toEqual([content(2), content(3), content(2)]);
    await cache.read(blobKinds.data, [id(3), id(1)]);
    expect(reader.asked).toEqual([[1, 2], [3]]);
  });

  it("keeps what was used last, up to its limit", async () => {
    const reader = new FakeReader();
    const cache = new BlobCache({ reader, renew: nothingNewer, limit: 250 });
    for (const number of [1, 2, 1, 3, 1, 2]) await cache.read(blobKinds.data, [id(number)]);
    expect(reader.asked).toEqual([[1], [2], [3], [2]]);
  });

  it("looks once more with a newer reader when something can't be found, for all who miss something together", async () => {
    const old = new FakeReader((number) => number < 3);
    const current = new FakeReader();
    let renewed = 0;
    const renew = (): Promise<FakeReader> => {
      renewed += 1;
      return Promise.resolve(current);
    };
    const cache = new BlobCache({ reader: old, renew, limit: 1000 });
    const reads = [[id(1), id(3)], [id(4)]].map(async (ids) => await cache.read(blobKinds.data, ids));
    expect(await Promise.all(reads)).toEqual([[content(1), content(3)], [content(4)]]);
    expect(renewed).toBe(1);
    expect(new Set(current.asked.flat())).toEqual(new Set([3, 4]));
  });

  it("throws the reason, and asks again the next time", async () => {
    const reader = new FakeReader((number) => number !== 2);
    const cache = new BlobCache({ reader, renew: nothingNewer, limit: 1000 });
    expect((await rejection(cache.read(blobKinds.data, [id(1), id(2)]))).message).toContain("lost 2");
    reader.there = () => true;
    expect(await cache.read(blobKinds.data, [id(2)])).toEqual([content(2)]);
  });

  it("throws what the reader throws, to everyone", async () => {
    const reader = { readMany: () => Promise.reject(new Error("the storage is gone")) };
    const cache = new BlobCache({ reader, renew: () => Promise.reject(new Error("gone too")), limit: 1000 });
    await cache.prepare(blobKinds.data, [id(9)]);
    const reads = [
      rejection(cache.read(blobKinds.data, [id(1)])),
      rejection(cache.read(blobKinds.data, [id(1), id(2)])),
    ];
    for (const error of await Promise.all(reads)) expect(error.message).toBe("the storage is gone");
  });
});
