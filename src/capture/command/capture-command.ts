/** The source kind `command`: what a dump program prints. */
import { streamCommand } from "../../host/process.ts";
import type { StreamPart } from "../../repository/points/manifest.ts";
import { type Chunk, writeStreamTree } from "../../repository/tree/stream-tree.ts";
import type { CaptureContext, Captured } from "../capture.ts";
import { cutIntoChunks, gearTable } from "../stream/chunker.ts";
import { splitChunks } from "../stream/store-chunk.ts";
import { storeChunks } from "../stream/store-chunks-task.ts";

export interface CommandSource {
  /** The program and its arguments; no shell. */
  readonly run: readonly string[];
  /** In ms, from its start to its end. */
  readonly timeout: number;
  /** Added to the environment that it is started with. */
  readonly environment?: Readonly<Record<string, string>> | undefined;
}

/** Bytes that are sent to a thread at once. */
const bytesPerTask = 4 * 1024 * 1024;

/**
 * Captures standard output as the part `output`. The instant is when the program was started: a consistent dump shows the
 * data as of its beginning.
 *
 * Throws `command_failed` when the program can't be started, ends with a status other than 0 or by a signal, or takes too
 * long; `cancelled`, or a storage error.
 */
export async function captureCommand(context: CaptureContext, source: CommandSource): Promise<Captured> {
  const { session, clock, progress, signal } = context;
  const instant = clock.now();
  const output = streamCommand(source.run, { timeout: source.timeout, signal, env: source.environment });
  const storing = new Set<Promise<void>>();
  const batches: Chunk[][] = [];
  let done = 0;
  try {
    for await (const batch of inBatches(cutIntoChunks(output, gearTable(session.store.repository.keys)))) {
      const position = batches.push([]) - 1;
      const task: Promise<void> = session.run(storeChunks, batch).then((stored) => {
        batches[position] = splitChunks(stored);
        storing.delete(task);
      });
      task.catch(() => undefined); // Seen below; here it only must not count as unhandled.
      storing.add(task);
      if (storing.size >= session.executor.parallel) await Promise.race(storing);
      done += batch.reduce((sum, chunk) => sum + chunk.length, 0);
      progress({ done, total: undefined });
    }
  } finally {
    await Promise.allSettled(storing);
  }
  await Promise.all(storing);
  const part: StreamPart = {
    name: "output",
    kind: "stream",
    ...(await writeStreamTree(session.writer, batches.flat())),
  };
  return {
    parts: [part],
    instant,
    consistency: "application",
    size: part.size,
    read: part.size,
    leftOut: [],
    leftOutCount: 0,
  };
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
