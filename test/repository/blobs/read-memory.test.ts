/** Memory for reads of packs. */
import { expect, test } from "vitest";
import { noMemory, ReadMemory } from "../../../src/repository/blobs/read-memory.ts";

test("gives a read what one before it has left, but no two the same", () => {
  const memory = new ReadMemory(1000);
  const first = memory.take(1000);
  const second = memory.take(500);
  expect([first?.length, second?.length]).toEqual([1000, 500]);
  expect(second?.buffer).not.toBe(first?.buffer);
  memory.giveBack(second as Buffer);
  const third = memory.take(1000);
  expect(third?.buffer).toBe(second?.buffer);
  expect(third).toHaveLength(1000);
  expect(memory.take(1000)?.buffer).not.toBe(second?.buffer);
});

test("has none for reads that are too long, or so short that most of it would be wasted", () => {
  const memory = new ReadMemory(1000);
  expect([memory.take(1001), memory.take(499), noMemory.take(1)]).toEqual([undefined, undefined, undefined]);
});

test("what isn't of it goes back to the system", () => {
  const memory = new ReadMemory(1000);
  const other = Buffer.alloc(1000);
  memory.giveBack(other);
  expect(other).toHaveLength(0);
  expect(memory.take(1000)).toHaveLength(1000);
});
