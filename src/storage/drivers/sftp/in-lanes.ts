import { toError } from "../../../errors.ts";

/**
 * Works through items, at most `width` of them at once, and begins no more when one has failed. Ends when all that were begun have, and
 * throws what the first to fail did.
 */
export async function inLanes<T>(items: Iterable<T>, width: number, work: (item: T) => Promise<void>): Promise<void> {
  const iterator = items[Symbol.iterator]();
  let failure: Error | undefined;
  const lane = async (): Promise<void> => {
    while (failure === undefined) {
      const step = iterator.next();
      if (step.done === true) return;
      try {
        await work(step.value);
      } catch (error) {
        failure ??= toError(error);
      }
    }
  };
  await Promise.all(Array.from({ length: width }, lane));
  if (failure !== undefined) throw failure;
}
