import { describe, expect, test } from "vitest";
import { keptAt, wantedAt } from "../../src/job/rules.ts";
import type { Policy } from "../../src/policy/config.ts";
import type { CatalogPoint } from "../../src/repository/points/catalog.ts";

const hour = 3_600_000;
const day = 24 * hour;
const now = Date.UTC(2026, 10, 22, 12);
const policy = {
  keep: { daily: 9 },
  schedule: { timezone: "UTC" },
  unreplicated: { count: 0, age: 0 },
  replicate: [{ replica: { name: "far" } }],
} as unknown as Policy;

function pointOf(id: string, time: number, received: number): CatalogPoint {
  return { id, time, received, tags: [], readUntil: 0, manifest: { source: "s" } } as unknown as CatalogPoint;
}

/** A genuine point of each of three days, and one that was captured today and claims to be of an hour later. */
const points = [1, 2, 3].flatMap((days) => {
  const time = now - days * day;
  return [pointOf(`genuine${String(days)}`, time, time), pointOf(`late${String(days)}`, time + hour, now - days)];
});

function genuine(ids: ReadonlySet<string>): string[] {
  return [...ids].filter((id) => id.startsWith("genuine")).toSorted();
}

describe("what a point claims", () => {
  test("isn't believed alone at a replica", () => {
    expect(genuine(keptAt({ policy, location: "far", now }, points))).toEqual(["genuine1", "genuine2", "genuine3"]);
  });

  test("is at the primary, whatever its files' times are, also for what a replica is to be sent", () => {
    // The oldest of all stays while places are free.
    expect(genuine(keptAt({ policy, location: "primary", now }, points))).toEqual(["genuine3"]);
    expect(genuine(wantedAt({ policy, location: "far", now }, points))).toEqual(["genuine3"]);
  });
});
