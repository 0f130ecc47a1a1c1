import * as fc from "fast-check";
import { expect, it } from "vitest";
import type { CatalogPoint } from "../../src/repository/points/catalog.ts";
import { planReplication } from "../../src/replicate/plan.ts";

interface Sketch {
  readonly id: string;
  readonly time: number;
  readonly source: string;
  readonly first: boolean;
  readonly size: number;
  readonly stored: number;
}

function pointOf({ id, time, source, first, size, stored }: Sketch): CatalogPoint {
  const manifest = { source, previous: first ? null : "0".repeat(64), statistics: { size, stored } };
  // Only these members matter for a plan.
  return { id, time, manifest } as unknown as CatalogPoint;
}

const sketch = fc.record({
  id: fc.stringMatching(/^[0-9a-f]{4}$/),
  time: fc.nat(5),
  source: fc.constantFrom("a", "b"),
  first: fc.boolean(),
  size: fc.nat(1000),
  stored: fc.nat(1000),
});
const points = fc.uniqueArray(sketch, { selector: ({ id }) => id }).map((all) => all.map(pointOf));
const some = (all: readonly CatalogPoint[]): fc.Arbitrary<Set<string>> =>
  fc.subarray(all.map(({ id }) => id)).map((ids) => new Set(ids));
const scenes = points.chain((all) => fc.tuple(fc.constant(all), some(all), some(all), some(all)));

it("plans exactly the wanted points that are neither there nor forgotten there, oldest first", () => {
  fc.assert(
    fc.property(scenes, ([all, there, forgotten, wanted]) => {
      const plan = planReplication({
        points: all,
        replica: { points: there, forgotten },
        wanted: ({ id }) => wanted.has(id),
      });
      const ids = plan.lacking.map(({ id }) => id);
      expect(new Set(ids)).toEqual(wanted.difference(there).difference(forgotten));
      for (const [at, point] of plan.lacking.entries()) {
        expect(point.time).toBeGreaterThanOrEqual(plan.lacking[at - 1]?.time ?? 0);
      }
    }),
  );
});

it("doesn't depend on the order of the points", () => {
  fc.assert(
    fc.property(scenes, ([all, there]) => {
      const input = { replica: { points: there, forgotten: new Set<string>() }, wanted: () => true };
      const plan = planReplication({ ...input, points: all });
      expect(planReplication({ ...input, points: all.toReversed() })).toEqual(plan);
    }),
  );
});

it("estimates what the captures added, and a whole size where the replica lacks what came before", () => {
  const base = { source: "a", size: 1000 };
  const all = [
    pointOf({ ...base, id: "0002", time: 2, first: false, stored: 20 }),
    pointOf({ ...base, id: "0003", time: 3, first: false, stored: 30 }),
  ];
  const estimateAt = (there: readonly string[]): number =>
    planReplication({
      points: all,
      replica: { points: new Set(there), forgotten: new Set() },
      wanted: () => true,
    }).estimatedBytes;
  expect(estimateAt([])).toBe(1000 + 30);
  expect(estimateAt(["0002"])).toBe(30);
  const first = [pointOf({ ...base, id: "0001", time: 1, first: true, stored: 10 })];
  const none = { points: new Set<string>(), forgotten: new Set<string>() };
  expect(planReplication({ points: first, replica: none, wanted: () => true }).estimatedBytes).toBe(10);
});

it("plans 10,000 points", () => {
  const all = Array.from({ length: 10_000 }, (_, at) =>
    pointOf({ id: at.toString(16).padStart(4, "0"), time: at, source: "a", first: at === 0, size: 1, stored: 1 }),
  );
  const replica = { points: new Set(all.slice(0, 5000).map(({ id }) => id)), forgotten: new Set<string>() };
  expect(planReplication({ points: all, replica, wanted: () => true }).lacking).toHaveLength(5000);
});
