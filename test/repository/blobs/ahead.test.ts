import { expect, test } from "vitest";
import { ahead } from "../../../src/repository/blobs/ahead.ts";
import { collect } from "../../helpers/collect.ts";

/** Work that ends when it is told, and what of it has begun. */
function work() {
  const begun: number[] = [];
  const ends = new Map<number, PromiseWithResolvers<string>>();
  const begin = async (item: number): Promise<string> => {
    begun.push(item);
    const end = Promise.withResolvers<string>();
    ends.set(item, end);
    return await end.promise;
  };
  return { begun, begin, end: (item: number) => ends.get(item)?.resolve(`${item}`), ends };
}

/** Lets everything that waits for nothing else go on. */
async function settle(): Promise<void> {
  for (let i = 0; i < 50; i++) await Promise.resolve();
}

test("results come in order, and no more is begun than the limit allows, what is in use included", async () => {
  const { begun, begin, end } = work();
  const results = ahead([3, 3, 3, 3, 3].keys(), { begin, costOf: () => 3, limit: 7 });
  const first = results.next();
  await settle();
  expect(begun).toEqual([0, 1, 2]);
  end(1);
  await settle();
  end(0);
  expect(await first).toEqual({ done: false, value: "0" });
  await settle();
  // The first is in use until the next is asked for.
  expect(begun).toEqual([0, 1, 2]);
  expect((await results.next()).value).toBe("1");
  await settle();
  expect(begun).toEqual([0, 1, 2, 3]);
});

test("one is always under way besides that in use, however much they cost", async () => {
  const { begun, begin, end } = work();
  const results = ahead([100, 101, 102].values(), { begin, costOf: (cost) => cost, limit: 5 });
  const first = results.next();
  await settle();
  end(100);
  await settle();
  expect(begun).toHaveLength(2);
  await first;
  await settle();
  expect(begun).toHaveLength(2);
});

test("what is there is handed over while later items are slow to come", async () => {
  async function* items(): AsyncGenerator<number> {
    yield 1;
    yield 2;
    await Promise.withResolvers<never>().promise;
  }
  const results = ahead(items(), { begin: async (item) => await Promise.resolve(item), costOf: () => 1, limit: 10 });
  expect((await results.next()).value).toBe(1);
  expect((await results.next()).value).toBe(2);
});

test("what fails is thrown in its turn: a result, or the items", async () => {
  const begin = async (item: number): Promise<number> =>
    item === 2 ? await Promise.reject(new Error("the second")) : item;
  const seen: number[] = [];
  const take = async (items: Iterable<number> | AsyncIterable<number>): Promise<void> => {
    for await (const one of ahead(items, { begin, costOf: () => 1, limit: 10 })) seen.push(one);
  };
  await expect(take([1, 2, 3])).rejects.toThrow("the second");
  async function* broken(): AsyncGenerator<number> {
    yield 4;
    yield await Promise.reject(new Error("no more"));
  }
  await expect(take(broken())).rejects.toThrow("no more");
  expect(seen).toEqual([1, 4]);
  expect(await collect(ahead([], { begin, costOf: () => 1, limit: 1 }))).toEqual([]);
});

test("whoever leaves early ends the items", async () => {
  let ended = false;
  function* items(): Generator<number> {
    try {
      for (;;) yield 1;
    } finally {
      ended = true;
    }
  }
  for await (const _ of ahead(items(), {
    begin: async (item) => await Promise.resolve(item),
    costOf: () => 1,
    limit: 3,
  }))
    break;
  expect(ended).toBe(true);
});
