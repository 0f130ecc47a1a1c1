/** Whoever owns a host can capture points with any time. They must not push genuine ones out of a replica. */
import fc from "fast-check";
import { expect, test } from "vitest";
import type { KeepRules } from "../../src/policy/retention.ts";
import { planPrune } from "../../src/prune/plan-prune.ts";
import type { CatalogPoint } from "../../src/repository/points/catalog.ts";

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;
/** Noon, in the middle of a week and of a month: the last day's forgeries are of one slot of each kind. */
const now = Date.UTC(2026, 6, 15, 12);

function pointOf(id: string, time: number, received: number): CatalogPoint {
  return {
    id,
    time,
    received,
    tags: [],
    hold: undefined,
    proof: undefined,
    manifest: { policy: "p" },
  } as unknown as CatalogPoint;
}

function keptOf(points: readonly CatalogPoint[], keep: KeepRules): string[] {
  const cap = { count: 0, age: 0 };
  const groups = [{ policy: "p", source: "s", points, keep, timezone: "UTC", cap }];
  const [group] = planPrune({ location: "far", replica: true, now, groups }).groups;
  return (group?.keep ?? []).map(({ id }) => id);
}

/** Received before any forged one: of those that come in between, the oldest could stand in for a free slot, but only within that day. */
const genuine = fc
  .array(fc.record({ age: fc.integer({ min: 2, max: 500 * 24 }), delay: fc.integer({ min: 0, max: 50 }) }), {
    maxLength: 60,
  })
  .map((all) => [
    // The newest is received at last: it is of today, as the forged ones are.
    pointOf("newest", now - minute, now),
    ...all.map(({ age, delay }, number) => {
      const time = now - age * hour - hour;
      return pointOf(`genuine${String(number)}`, time, time + delay * minute);
    }),
  ]);

/** Received in the last two hours; claimed years ago, now, or in years. */
const forged = fc
  .array(
    fc.record({ claimed: fc.integer({ min: -900 * 24, max: 900 * 24 }), received: fc.integer({ min: 2, max: 120 }) }),
    {
      maxLength: 100,
    },
  )
  .map((all) =>
    all.map(({ claimed, received }, number) =>
      pointOf(`forged${String(number)}`, now + claimed * hour, now - received * minute),
    ),
  );

const count = fc.integer({ min: 1, max: 30 });
const rules = fc.record(
  { daily: count, weekly: count, monthly: count, yearly: count },
  { requiredKeys: ["daily"] },
) as fc.Arbitrary<KeepRules>;

test("points forged within a day push out nothing that the rules kept by periods of a day or more", () => {
  fc.assert(
    fc.property(genuine, forged, rules, (honest, attack, keep) => {
      const attacked = keptOf([...honest, ...attack], keep);
      expect(attacked).toEqual(expect.arrayContaining(keptOf(honest, keep)));
    }),
  );
});

test("by the time claimed alone they would push out a year", () => {
  const honest = Array.from({ length: 30 }, (_, index) =>
    pointOf(`genuine${String(index)}`, now - index * day, now - index * day),
  );
  const attack = honest.map(({ time }, index) => pointOf(`forged${String(index)}`, time + hour, time + hour));
  expect(keptOf([...honest, ...attack], { daily: 29 }).filter((id) => id.startsWith("genuine"))).toEqual(["genuine0"]);
});
