import * as fc from "fast-check";
import { expect, it } from "vitest";
import { BlobStore } from "../../src/repository/blobs/blob-store.ts";
import { forgetPoint, loadCatalog } from "../../src/repository/points/catalog.ts";
import { inlineExecutor } from "../../src/repository/threads/executor.ts";
import { sweep } from "../../src/repository/sweep/sweep.ts";
import { replicate } from "../../src/replicate/replicate.ts";
import type { ReplicationReport } from "../../src/replicate/replication-report.ts";
import {
  captureTiny,
  expectedContents,
  makeReplicaOf,
  makeTestRepository,
  readTiny,
  reopen,
  type TestRepository,
  type TinyContent,
} from "../helpers/repository.ts";

const hour = 3_600_000;
const grace = 24 * hour;
/** One small pack is joined with another, so that sweeps rewrite all the time. */
const limits = { share: 0.9, smallPack: 1024 * 1024, smallPacks: 2, smallIndex: 1024 * 1024, smallIndexes: 2 };

const seed = fc.integer({ min: 0, max: 12 });
const where = fc.constantFrom("primary" as const, "replica" as const);
const content: fc.Arbitrary<TinyContent> = fc.record({
  image: fc.array(seed, { minLength: 1, maxLength: 5 }),
  files: fc.dictionary(fc.constantFrom("x", "y"), fc.array(seed, { maxLength: 3 }), { noNullPrototype: true }),
});
const operation = fc.oneof(
  fc.record({ kind: fc.constant("capture" as const), content, source: fc.constantFrom("a", "b") }),
  fc.record({ kind: fc.constant("forget" as const), where, nth: fc.nat() }),
  fc.record({ kind: fc.constant("sweep" as const), where }),
  fc.record({ kind: fc.constant("replicate" as const), sweeping: fc.boolean() }),
  fc.record({ kind: fc.constant("cut" as const), step: fc.integer({ min: 1, max: 80 }) }),
);
/** Between two operations, in hours. */
const pause = fc.constantFrom(0, 1, 13, 25);

async function run(primary: TestRepository, replica: TestRepository): Promise<ReplicationReport> {
  const store = await BlobStore.load(primary.repository);
  const { points } = await loadCatalog(primary.repository);
  return await replicate({ primary: store, points, replica: replica.repository, wanted: () => true, grace });
}

/** One visit; one that finds nothing explained, or no points, refuses, and that is right. */
async function visit({ repository }: TestRepository): Promise<void> {
  await sweep(repository, { grace, limits, executor: inlineExecutor }).catch((error: unknown) => {
    if (!(error instanceof Error && "code" in error && error.code === "sweep_unsafe")) throw error;
  });
}

async function forgetOne({ repository }: TestRepository, nth: number): Promise<void> {
  const { points } = await loadCatalog(repository);
  const point = points[nth % Math.max(1, points.length)];
  if (point !== undefined) await forgetPoint(repository, point, "test");
}

async function cutOff(primary: TestRepository, replica: TestRepository, step: number): Promise<TestRepository> {
  const { disk } = reopen(replica, replica.disk.copy());
  disk.crashAt(step);
  await run(primary, reopen(replica, disk)).catch((error: unknown) => {
    if (!disk.crashed) throw error;
  });
  return reopen(replica, disk.afterCrash({ dropUnsynced: true, seed: step }));
}

it("keeps every point whole, on both sides, whatever sweeps do before, after and meanwhile", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(operation, pause), { minLength: 4, maxLength: 20 }), async (operations) => {
      const primary = await makeTestRepository();
      let replica = await makeReplicaOf(primary);
      const contents = new Map<string, TinyContent>();
      for (const [one, hours] of operations) {
        const site = "where" in one && one.where === "replica" ? replica : primary;
        if (one.kind === "capture") {
          const { id } = await captureTiny(primary.repository, one.content, { source: one.source });
          contents.set(id, one.content);
        } else if (one.kind === "forget") {
          await forgetOne(site, one.nth);
        } else if (one.kind === "sweep") {
          await visit(site);
        } else if (one.kind === "cut") {
          replica = await cutOff(primary, replica, one.step);
        } else {
          await Promise.all([run(primary, replica), ...(one.sweeping ? [visit(replica)] : [])]);
        }
        primary.clock.pass(hours * hour);
        for (const { repository } of [primary, replica]) {
          const { points, damaged } = await loadCatalog(repository);
          expect(damaged).toEqual([]);
          for (const point of points) {
            const expected = contents.get(point.id);
            if (expected === undefined) throw new Error(`nobody captured ${point.id}`);
            expect(await readTiny(repository, point)).toEqual(expectedContents(expected));
          }
        }
      }
      const last = await run(primary, replica);
      expect(last).toMatchObject({ ended: undefined, failed: [], backlog: { lacking: [] } });
    }),
    { numRuns: 8 },
  );
});
