import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isStillpointError } from "../../src/errors.ts";
import { forgetPoint } from "../../src/repository/points/catalog.ts";
import { imageBlock, packTarget } from "../../src/repository/format.ts";
import { exists, type Repository } from "../../src/repository/repository.ts";
import { FaultyStorage } from "../helpers/faulty-storage.ts";
import type { SimulatedDisk } from "../helpers/simulated-disk.ts";
import {
  type Content,
  copiesOf,
  day,
  emptySite,
  expected,
  open,
  pointsOf,
  primarySite,
  readAll,
  replicateTo,
  storageOn,
  take,
} from "./sites.ts";

/** Replicates until the power goes at that step; returns what the next start finds. */
async function cutOff(
  primary: Repository,
  site: SimulatedDisk,
  step: number,
  dropUnsynced: boolean,
): Promise<SimulatedDisk> {
  site.crashAt(site.steps + step);
  await replicateTo(primary, storageOn(site, "replica")).catch((error: unknown) => {
    if (!site.crashed) throw error;
  });
  return site.afterCrash({ dropUnsynced, seed: step });
}

/** Which kinds of files a disk has, and how much of each: what two cuts left alike needs only one look. */
function outlineOf(site: SimulatedDisk): string {
  const files = [...site.contents()].map(([path, content]) => {
    const filled = content.every((byte) => byte === 0) ? "zeros" : "bytes";
    return `${path.replaceAll(/[0-9a-f]{8,}/g, "*")} ${String(content.length)} ${filled}`;
  });
  return files.toSorted().join("\n");
}

/** The replica's points, all of them whole; none when there is no repository yet. */
async function wholePoints(site: SimulatedDisk): Promise<Map<string, unknown>> {
  if (!(await exists(storageOn(site, "replica"), "format"))) return new Map();
  return await readAll(site);
}

async function expectCompleteRun(primary: Repository, site: SimulatedDisk): Promise<void> {
  const report = await replicateTo(primary, storageOn(site, "replica"));
  expect(report).toMatchObject({ ended: undefined, failed: [], backlog: { lacking: [] } });
}

async function expectEachOnce(site: SimulatedDisk): Promise<void> {
  expect(new Set((await copiesOf(site)).values())).toEqual(new Set([1]));
}

describe("a replication cut off", () => {
  const contents: Content[] = [
    { image: [1, 2], stream: [4], files: { a: 6 } },
    { image: [1, 7], stream: [4], files: { b: 6 } },
  ];

  it.each([
    ["a replica that has a point is killed", false, true],
    ["a replica that has a point loses its power", true, true],
    ["a new replica loses its power", true, false],
  ])(
    "at any step where %s leaves only whole points, and the next run sends nothing twice",
    async (...[, dropUnsynced, hasPoint]) => {
      const primary = await open(await primarySite());
      const all = new Map<string, unknown>();
      const add = async (content: Content): Promise<void> => {
        all.set((await take(primary, content, { time: (all.size + 1) * day })).id, expected(content));
      };
      const start = await emptySite();
      for (const [at, content] of contents.entries()) {
        await add(content);
        if (at === 0 && hasPoint) await replicateTo(primary, storageOn(start, "replica"));
      }
      const seen = new Set<string>();
      for (let step = 1; ; step++) {
        const site = start.copy();
        const after = await cutOff(primary, site, step, dropUnsynced);
        if (site.crashed && seen.has(outlineOf(after))) continue;
        seen.add(outlineOf(after));
        for (const [id, content] of await wholePoints(after)) expect(content).toEqual(all.get(id));
        const report = await replicateTo(primary, storageOn(after, "replica"));
        expect(report).toMatchObject({ ended: undefined, failed: [] });
        expect(await readAll(after)).toEqual(all);
        await expectEachOnce(after);
        if (!site.crashed) break;
      }
    },
  );

  it("by an error of the primary at any read leaves only whole points", async () => {
    const disk = await primarySite();
    const primary = await open(disk);
    const all = new Map<string, unknown>();
    for (const [at, content] of contents.entries()) {
      all.set((await take(primary, content, { time: (at + 1) * day })).id, expected(content));
    }
    for (let nth = 1; ; nth++) {
      const storage = new FaultyStorage(storageOn(disk, "primary"));
      storage.script({ operation: "get", fault: { kind: "fail", code: "storage_failed" }, nth });
      const site = await emptySite();
      await replicateTo({ ...primary, storage }, storageOn(site, "replica")).catch((error: unknown) => {
        if (!isStillpointError(error, "storage_failed")) throw error;
      });
      for (const [id, content] of await wholePoints(site)) expect(content).toEqual(all.get(id));
      await expectCompleteRun(primary, site);
      expect(await readAll(site)).toEqual(all);
      await expectEachOnce(site);
      if (storage.calls.filter((call) => call.startsWith("get ")).length < nth) break;
    }
  });

  it("in the middle of many packs sends only the rest", async () => {
    const primary = await open(await primarySite());
    const image = Array.from({ length: (40 * 1024 * 1024) / imageBlock }, (_, at) => at + 1);
    const content = { image, stream: [], files: {}, length: imageBlock };
    const point = await take(primary, content, { time: day });
    const { stored } = point.manifest.statistics;
    const site = await emptySite();
    let packs = 0;
    site.fault = ({ kind, path }) => {
      if (kind === "rename" && path.includes("/packs/") && ++packs === 3) site.crashAt(site.steps + 1);
      return undefined;
    };
    const after = await cutOff(primary, site, Number.POSITIVE_INFINITY, true);
    expect(site.crashed).toBe(true);
    const report = await replicateTo(primary, storageOn(after, "replica"));
    expect(report.adoptedPacks).toBeGreaterThanOrEqual(2);
    expect(report.bytesSent).toBeLessThan((stored - 2 * packTarget) * 1.05);
    expect(await readAll(after, imageBlock)).toEqual(new Map([[point.id, expected(content)]]));
    await expectEachOnce(after);
  });

  it("by its signal says so, and is taken up again", async () => {
    const primary = await open(await primarySite());
    for (const [at, content] of contents.entries()) await take(primary, content, { time: at * day });
    const site = await emptySite();
    const cancel = new AbortController();
    const stopping = await replicateTo(primary, storageOn(site, "replica"), {
      signal: cancel.signal,
      onProgress: () => cancel.abort(),
    });
    expect(stopping.ended).toMatchObject({ code: "cancelled" });
    expect((await replicateTo(primary, storageOn(site, "replica"))).backlog?.lacking).toEqual([]);
    expect((await readAll(site)).size).toBe(contents.length);
    await expectEachOnce(site);
  });
});

describe("any sequence of captures, forgets and replications, some cut off", () => {
  const number = fc.integer({ min: 0, max: 20 });
  const capture = fc.record({
    kind: fc.constant("take"),
    source: fc.constantFrom("a", "b"),
    content: fc.record({
      image: fc.array(number, { maxLength: 5 }),
      stream: fc.array(number, { maxLength: 4 }),
      files: fc.dictionary(fc.constantFrom("x", "y"), number, { noNullPrototype: true }),
    }),
  });
  const forget = fc.record({
    kind: fc.constant("forget"),
    where: fc.constantFrom("primary", "replica"),
    nth: fc.nat(),
  });
  const run = fc.record({ kind: fc.constant("run") });
  const cut = fc.record({ kind: fc.constant("cut"), step: fc.integer({ min: 1, max: 120 }), drop: fc.boolean() });
  const sequence = fc.array(fc.oneof(capture, capture, forget, run, cut), { minLength: 3, maxLength: 12 });

  it("leaves whole points at the replica, each blob once, restorable with the key alone", async () => {
    await fc.assert(
      fc.asyncProperty(sequence, async (operations) => {
        const primary = await open(await primarySite());
        let site = await emptySite();
        const all = new Map<string, unknown>();
        const forgotten = new Set<string>();
        for (const [at, operation] of operations.entries()) {
          if (operation.kind === "take") {
            const { content, source } = operation;
            all.set((await take(primary, content, { time: (at + 1) * day, source })).id, expected(content));
          } else if (operation.kind === "forget") {
            const there = operation.where === "replica";
            if (there && !(await exists(storageOn(site, "replica"), "format"))) continue;
            const repository = there ? await open(site, "replica") : primary;
            const points = await pointsOf(repository);
            const point = points[operation.nth % Math.max(1, points.length)];
            if (point === undefined) continue;
            await forgetPoint(repository, point, "test");
            if (there) forgotten.add(point.id);
          } else if (operation.kind === "run") {
            await expectCompleteRun(primary, site);
          } else {
            site = await cutOff(primary, site.copy(), operation.step, operation.drop);
          }
          for (const [id, content] of await wholePoints(site)) expect(content).toEqual(all.get(id));
        }
        await replicateTo(primary, storageOn(site, "replica"));
        const there = await readAll(site);
        for (const { id } of await pointsOf(primary)) expect(there.has(id)).toBe(!forgotten.has(id));
        for (const copies of (await copiesOf(site)).values()) expect(copies).toBe(1);
      }),
      { numRuns: 10 },
    );
  });
});
