/** A stream of any length, cut into chunks that threads store. */
import type { WriteSession } from "../../repository/blobs/write-session.ts";
import { type Chunk, type StreamTree, writeStreamTree } from "../../repository/tree/stream-tree.ts";
import { cutIntoChunks, gearTable } from "./chunker.ts";
import { splitChunks } from "./store-chunk.ts";
import { storeChunks } from "./store-chunks-task.ts";

/** Bytes that are sent to a thread at once. */
const bytesPerTask = 4 * 1024 * 1024;

/** Stores `content`, whose pieces must not be written to again. Throws what it throws, or a storage error. */
export async function storeStream(
  session: WriteSession,
  content: AsyncIterable<Buffer>,
  progress: (done: number) => void = () => undefined,
): Promise<StreamTree> {
  const storing = new Set<Promise<void>>();
  const batches: Chunk[][] = [];
  let done = 0;
  try {
    for await (const batch of inBatches(cutIntoChunks(content, gearTable(session.store.repository.keys)))) {
      const position = batches.push([]) - 1;
      const task: Promise<void> = session.run(storeChunks, batch).then((stored) => {
        batches[position] = splitChunks(stored);
        storing.delete(task);
      });
      task.catch(() => undefined); // Seen below; here it only must not count as unhandled.
      storing.add(task);
      if (storing.size >= session.executor.parallel) await Promise.race(storing);
      done += batch.reduce((sum, chunk) => sum + chunk.length, 0);
      progress(done);
    }
  } finally {
    await Promise.allSettled(storing);
  }
  await Promise.all(storing);
  return await writeStreamTree(session.writer, batches.flat());
}

async function* inBatches(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer[]> {
  let batch: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of chunks) {
    batch.push(chunk);
    bytes += chunk.length;
    if (bytes < bytesPerTask) continue;
    yield batch;
    batch = [];
    bytes = 0;
  }
  if (batch.length > 0) yield batch;
}
