/** Stores chunks that were cut elsewhere, in a worker thread. */
import type { Task } from "../../repository/threads/executor.ts";
import { joinChunks, storeChunk } from "./store-chunk.ts";

/** From the chunks' bytes, each at most `longestChunk`, to their ids and sizes (`splitChunks`). */
export const storeChunks: Task<readonly Uint8Array[], Uint8Array> = {
  name: "store-chunks",
  async run(context, contents) {
    const chunks = [];
    for (const { buffer, byteOffset, byteLength } of contents)
      chunks.push(await storeChunk(context, Buffer.from(buffer, byteOffset, byteLength)));
    return joinChunks(chunks);
  },
};
