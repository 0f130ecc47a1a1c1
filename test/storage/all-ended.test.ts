import { expect, test } from "vitest";
import { allEnded } from "../../src/storage/all-ended.ts";
import { rejection } from "../helpers/rejection.ts";

test("what has failed is told when the others have ended, and of several the first in the list", async () => {
  const slow = Promise.withResolvers<undefined>();
  let told = false;
  const ended = rejection(allEnded([slow.promise, Promise.reject(new Error("one")), Promise.reject(new Error("two"))]));
  void ended.then(() => (told = true));
  await new Promise(setImmediate);
  expect(told).toBe(false);
  slow.resolve(undefined);
  expect(await ended).toMatchObject({ message: "one" });
  await expect(allEnded([Promise.resolve(1), slow.promise])).resolves.toBeUndefined();
});
