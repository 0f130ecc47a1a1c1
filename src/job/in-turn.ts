/**
 * Does work for each item, all at once, but for those that come after others: each waits until these are done. Returns the results in
 * the order of the items. No item may come after itself, by whatever way.
 */
export async function inTurn<Item, Result>(
  items: readonly Item[],
  comesAfter: (item: Item) => readonly Item[],
  work: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const begun = new Map<Item, Promise<Result>>();
  const begin = (item: Item): Promise<Result> => {
    const result = begun.get(item) ?? Promise.all(comesAfter(item).map(begin)).then(async () => await work(item));
    begun.set(item, result);
    return result;
  };
  return await Promise.all(items.map(begin));
}
