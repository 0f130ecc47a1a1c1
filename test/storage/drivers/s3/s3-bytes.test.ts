import type { GetObjectCommandOutput } from "@aws-sdk/client-s3";
import { Readable } from "node:stream";
import fc from "fast-check";
import { expect, test } from "vitest";
import { partsOf, readBody } from "../../../../src/storage/drivers/s3/s3-bytes.ts";
import { rejection } from "../../../helpers/rejection.ts";

/** An answer whose body comes in these chunks. */
function answer(chunks: readonly string[], ContentLength: number | undefined): GetObjectCommandOutput {
  return { Body: Readable.from(chunks.map((one) => Buffer.from(one))), ContentLength } as GetObjectCommandOutput;
}

test("a body is all of its chunks", async () => {
  expect((await readBody(answer(["ab", "c"], 3))).toString()).toBe("abc");
  expect(await readBody(answer([], 0))).toHaveLength(0);
});

test.each([
  ["shorter than the store said", ["ab"], 3, "ended after 2 of 3 bytes"],
  ["longer than the store said", ["ab", "cd"], 3, "is longer than the store said"],
  ["of a length that the store doesn't say", ["ab"], undefined, "doesn't say how long it is"],
])("a body %s is never taken for the object", async (_, chunks, length, told) => {
  const error = await rejection(readBody(answer(chunks, length)));
  expect(error).toMatchObject({ code: "storage_failed", retryable: true, message: expect.stringContaining(told) });
});

test("parts are the pieces, in order and complete, each but the last of the same size", () => {
  const pieces = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 10 });
  fc.assert(
    fc.property(pieces, fc.integer({ min: 1, max: 30 }), (all, size) => {
      const parts = [...partsOf(all, size)];
      expect(Buffer.concat(parts).equals(Buffer.concat(all))).toBe(true);
      for (const part of parts.slice(0, -1)) expect(part).toHaveLength(size);
      for (const part of parts.slice(-1)) expect(part.length).toBeGreaterThan(0);
    }),
  );
});
