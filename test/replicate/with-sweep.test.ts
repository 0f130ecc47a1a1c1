import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
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
  overriding,
  readTiny,
  reopen,
  type TestRepository,
  type TinyContent,
} from "../helpers/repository.ts";

const hour = 3_600_000;
const grace = 24 * hour;
/** One small pack is joined with another, so that sweeps rewrite all the time. */
const mebibyte = 1024 * 1024;
const limits = {
  share: 0.9,
  smallPack: mebibyte,
  smallPacks: 2,
  smallIndex: mebibyte,
  smallIndexes: 2,
  leastRoom: mebibyte,
};

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

async function run(
  primary: TestRepository,
  { repository: replica }: Pick<TestRepository, "repository">,
  own = grace,
): Promise<ReplicationReport> {
  const store = await BlobStore.load(primary.repository);
  const { points } = await loadCatalog(primary.repository);
  return await replicate({ primary: store, points, replica, wanted: () => () => true, grace: own });
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

describe("where another machine sweeps the replica with a shorter grace period", () => {
  const big: TinyContent = { image: [4, 5, 6] };

  /** A primary with a small and a big point, and a replica that has the small one. */
  async function site() {
    const primary = await makeTestRepository();
    await captureTiny(primary.repository, { image: [1, 2, 3] });
    const replica = await makeReplicaOf(primary);
    await run(primary, replica);
    primary.clock.pass(grace);
    const point = await captureTiny(primary.repository, big, { source: "big" });
    /** Two daily visits. */
    const sweepTwice = async (): Promise<number> => {
      let deleted = 0;
      for (let i = 0; i < 2; i++) {
        primary.clock.pass(grace + hour);
        const report = await sweep(replica.repository, { grace, limits, executor: inlineExecutor });
        deleted += report.deleted.packs;
      }
      return deleted;
    };
    return { primary, replica, point, sweepTwice };
  }

  /** The replica, slow to take index objects: so many times both visits come first once what is to be committed is there. */
  function slowly({ replica, sweepTwice }: Awaited<ReturnType<typeof site>>, times: number) {
    const { storage } = replica.repository;
    const deleted: number[] = [];
    const slow = overriding(storage, {
      put: async (name, ...rest) => {
        await storage.put(name, ...rest);
        if (name.startsWith("index/") && deleted.length < times) deleted.push(await sweepTwice());
      },
    });
    return { repository: { ...replica.repository, storage: slow }, deleted };
  }

  it("what its sweep has deleted meanwhile is sent again before the point is committed", async () => {
    const here = await site();
    const { primary, replica, point } = here;
    const slow = slowly(here, 1);
    const report = await run(primary, slow, 3 * grace);
    expect(slow.deleted).toEqual([2]);
    expect(report).toMatchObject({ ended: undefined, failed: [], replicated: [{ id: point.id }] });
    expect(await readTiny(replica.repository, point)).toEqual(expectedContents(big));
  });

  it("a point that it never lets be committed in time isn't, and the error names the machines that are meant", async () => {
    const here = await site();
    const { primary, replica } = here;
    const report = await run(primary, slowly(here, 2), 3 * grace);
    expect(report).toMatchObject({ replicated: [], ended: { code: "capture_too_old" } });
    expect(report.ended?.message).toMatch("on every machine that sweeps there");
    expect((await loadCatalog(replica.repository)).points).toHaveLength(1);
  });

  it("what it deletes between the look at the points and the look at the index isn't relied on either", async () => {
    const { primary, replica, sweepTwice } = await site();
    const { storage } = replica.repository;
    await run(primary, replica);
    primary.clock.pass(grace);
    const next = await captureTiny(primary.repository, big, { source: "big" });
    let deleted: number | undefined;
    const slow = overriding(storage, {
      async *list(prefix, ...rest) {
        if (prefix === "sweeps/" && deleted === undefined) {
          await forgetOne(replica, 1);
          deleted = await sweepTwice();
        }
        yield* storage.list(prefix, ...rest);
      },
    });
    const report = await run(primary, { repository: { ...replica.repository, storage: slow } }, 3 * grace);
    expect(deleted).toBe(2);
    expect(report).toMatchObject({ ended: undefined, failed: [] });
    expect(await readTiny(replica.repository, next)).toEqual(expectedContents(big));
  });
});
