/** One leaf's worth of a guest's disk, in a worker thread: read by NBD, hashed, looked up, stored. */
import { StillpointError } from "../../errors.ts";
import { NbdClient } from "../../nbd/client.ts";
import { blobKinds, idLength } from "../../repository/format.ts";
import type { Task, TaskContext } from "../../repository/threads/executor.ts";
import { storeBlock } from "../image/store-block.ts";
import { disposition } from "./disk-plan.ts";

export interface DiskRegionInput {
  readonly socket: string;
  readonly export: string;
  /** Offset and length of the region in bytes; the length is a multiple of the block but at the disk's end. */
  readonly offset: number;
  readonly length: number;
  readonly block: number;
  /** What to do with each block: see `disposition`. */
  readonly plan: Uint8Array;
  /** The earlier point's leaf for this region: a node's id, or the ids of the blocks themselves when there are no nodes. */
  readonly earlier: { readonly id: Uint8Array; readonly isBlock: boolean } | undefined;
}

export interface DiskRegionOutput {
  /** The ids of the region's blocks, joined. */
  readonly ids: Uint8Array;
  /** Bytes. */
  readonly read: number;
  /** Blocks that should not have changed, and have. */
  readonly differing: number;
}

/** Bytes asked for at once, and how many such requests are under way. */
const longestRun = 1024 * 1024;
const requests = 8;
/** A thread runs one task at a time, so these serve all of them. */
const buffers = Array.from({ length: requests }, () => Buffer.allocUnsafeSlow(longestRun));

export const captureDiskRegion: Task<DiskRegionInput, DiskRegionOutput> = {
  name: "capture-disk-region",
  async run(context, input) {
    const { plan, block } = input;
    const ids = Buffer.alloc(plan.length * idLength);
    const earlier = await earlierIds(context, input);
    if (earlier !== undefined) {
      for (const [number, what] of plan.entries()) {
        if (what === disposition.keep) earlier.copy(ids, number * idLength, number * idLength, (number + 1) * idLength);
      }
    }
    let read = 0;
    let differing = 0;
    for await (const { first, content } of readRuns(input)) {
      read += content.length;
      for (let at = 0, number = first; at < content.length; at += block, number++) {
        const id = await storeBlock(context, content.subarray(at, at + block));
        id.copy(ids, number * idLength);
        if (plan[number] !== disposition.verify) continue;
        if (earlier?.subarray(number * idLength, (number + 1) * idLength).equals(id) !== true) differing += 1;
      }
    }
    return { ids, read, differing };
  },
};

async function earlierIds({ reader }: TaskContext, { earlier, plan }: DiskRegionInput): Promise<Buffer | undefined> {
  if (earlier === undefined) return undefined;
  const id = Buffer.from(earlier.id);
  if (earlier.isBlock) return id;
  // A hole: all the blocks below are.
  if (id.every((byte) => byte === 0)) return Buffer.alloc(plan.length * idLength);
  return await reader.read(blobKinds.imageNode, id);
}

interface Run {
  /** Number of the first block in the region. */
  readonly first: number;
  readonly content: Buffer;
}

/** Everything that is to be read, in order, while what follows is on its way. */
async function* readRuns(input: DiskRegionInput): AsyncGenerator<Run> {
  const runs = runsOf(input);
  if (runs.length === 0) return;
  const client = await connectionTo(input);
  const reading: Promise<Run>[] = [];
  const begin = (number: number): void => {
    const run = runs[number];
    if (run === undefined) return;
    const content = (buffers[number % requests] as Buffer).subarray(0, run.length);
    const read = client.read(input.offset + run.first * input.block, content).then(() => ({ ...run, content }));
    read.catch(() => undefined); // Seen below; here it only must not count as unhandled.
    reading[number] = read;
  };
  try {
    for (let number = 0; number < requests; number++) begin(number);
    for (let number = 0; number < runs.length; number++) {
      yield await (reading[number] as Promise<Run>);
      begin(number + requests);
    }
  } finally {
    // The next task uses the same buffers.
    await Promise.allSettled(reading);
  }
}

/** Blocks that follow one another, joined up to `longestRun`. */
function runsOf({ plan, block, length }: DiskRegionInput): { first: number; length: number }[] {
  const runs: { first: number; length: number }[] = [];
  for (const [number, what] of plan.entries()) {
    if (what !== disposition.read && what !== disposition.verify) continue;
    const size = Math.min(block, length - number * block);
    const last = runs.at(-1);
    const follows = last !== undefined && last.first * block + last.length === number * block;
    if (follows && last.length + size <= longestRun) last.length += size;
    else runs.push({ first: number, length: size });
  }
  return runs;
}

/** The thread's connection, kept from task to task. The socket's path is another one in each capture. */
let connection: { readonly to: string; readonly client: NbdClient } | undefined;

async function connectionTo({ socket, export: name, offset, length }: DiskRegionInput): Promise<NbdClient> {
  const to = `${socket}\0${name}`;
  if (connection?.to === to) return connection.client;
  await connection?.client.close();
  connection = undefined;
  const client = await NbdClient.connect({ socket, export: name });
  if (client.size < offset + length) {
    await client.close();
    throw new StillpointError("source_changed", {
      what: `Cannot capture the disk ${name}: it became shorter while it was read`,
      safe: "No recovery point was made; earlier ones are untouched.",
      next: "It is tried again at the next run.",
    });
  }
  connection = { to, client };
  return client;
}
