/** What threads ask the main thread for. */
import { expect, test } from "vitest";
import { answerRequest } from "../../../src/repository/threads/asked-storage.ts";

test("a storage gets what a thread stores as buffers over the thread's own memory", async () => {
  const stored: Uint8Array[] = [];
  const storage = {
    get: () => Promise.reject(new Error("not asked for")),
    put: async (_: string, data: readonly Uint8Array[]) => {
      stored.push(...data);
      await Promise.resolve();
    },
  };
  const sent = new Uint8Array(new SharedArrayBuffer(8), 2, 4);
  await answerRequest(storage, { operation: "put", name: "packs/00/x", data: [sent] }, {});
  expect(stored).toEqual([Buffer.alloc(4)]);
  expect(Buffer.isBuffer(stored[0])).toBe(true);
  expect(stored[0]?.buffer).toBe(sent.buffer);
});
