/** 10,000 recovery points: how long it takes to list them, to plan, and to start. */
import { cpSync } from "node:fs";
import * as path from "node:path";
import { commitPoint } from "../../src/repository/points/catalog.ts";
import { writeImageTree } from "../../src/repository/tree/image-tree.ts";
import { blobKinds, imageBlock } from "../../src/repository/format.ts";
import { BlobStore } from "../../src/repository/blobs/blob-store.ts";
import { inlineExecutor } from "../../src/repository/threads/executor.ts";
import type { Repository } from "../../src/repository/repository.ts";
import { WriteSession } from "../../src/repository/blobs/write-session.ts";
import { measure, memoryOf } from "../measure.ts";
import type { Results } from "../results.ts";
import { startDaemon } from "./daemon.ts";
import { initialise, manifestOf, openUndurably, verb } from "./repository.ts";

const sources = Array.from({ length: 10 }, (_, number) => `vm${String(number)}`);
const pointsPerSource = 1000;
const hour = 3_600_000;

export async function measurePoints(folder: string, results: Results): Promise<void> {
  console.log("10,000 points: making them");
  await initialise(folder, { sources, replica: true });
  await fill(await openUndurably(folder, "repository"));
  // The replica has them all: what is measured is finding that out.
  for (const part of ["points", "packs", "index"]) {
    cpSync(path.join(folder, "repository", part), path.join(folder, "replica", part), { recursive: true });
  }
  const { facts } = results;
  const seconds = async (...args: string[]): Promise<number> => (await measure(verb(folder, ...args))).seconds;
  facts["10,000 points: list, nothing remembered"] = await seconds("list", "--json");
  facts["10,000 points: list"] = await seconds("list", "--json");
  facts["10,000 points: replication plan, nothing remembered"] = await seconds("replicate", "--quiet");
  facts["10,000 points: replication plan"] = await seconds("replicate", "--quiet");
  facts["10,000 points: prune plan, nothing remembered of the replica"] = await seconds("prune", "--dry-run", "--json");
  facts["10,000 points: prune plan"] = await seconds("prune", "--dry-run", "--json");
  const daemon = await startDaemon(folder);
  facts["10,000 points: start-up of the daemon"] = daemon.seconds;
  facts["10,000 points: memory of the daemon"] = memoryOf(daemon.pid, "VmRSS") / 2 ** 20;
  await daemon.stop();
}

async function fill(repository: Repository): Promise<void> {
  const session = new WriteSession(await BlobStore.load(repository), inlineExecutor);
  const block = await session.writer.add(blobKinds.data, Buffer.alloc(imageBlock, 1));
  const tree = await writeImageTree(session.writer, imageBlock, imageBlock, [block]);
  await session.finish();
  const part = { name: "image", kind: "image", ...tree } as const;
  const first = Date.now() - pointsPerSource * hour;
  for (const source of sources) {
    let previous: string | null = null;
    for (let number = 0; number < pointsPerSource; number++) {
      const manifest = manifestOf(repository, { source, time: first + number * hour, part, previous });
      previous = (await commitPoint(repository, manifest)).digest;
    }
  }
}
