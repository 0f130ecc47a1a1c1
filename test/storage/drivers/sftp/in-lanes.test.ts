import { expect, test } from "vitest";
import { inLanes } from "../../../../src/storage/drivers/sftp/in-lanes.ts";
import { rejection } from "../../../helpers/rejection.ts";

test("where one item fails no more are begun, and those that were have ended when it is told", async () => {
  const slow = Promise.withResolvers<undefined>();
  const begun: number[] = [];
  const ended: number[] = [];
  const working = rejection(
    inLanes([0, 1, 2, 3, 4, 5], 3, async (item) => {
      begun.push(item);
      if (item === 1) throw new Error("the first to fail");
      await slow.promise;
      ended.push(item);
      if (item === 0) throw new Error("one that failed later");
    }),
  );
  await new Promise(setImmediate);
  slow.resolve(undefined);
  expect(await working).toMatchObject({ message: "the first to fail" });
  expect(begun).toEqual([0, 1, 2]);
  expect(ended).toEqual([0, 2]);
});
