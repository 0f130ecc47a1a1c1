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

describe("what a replica is to be sent", () => {
  const monthly = {
    ...policy,
    replicate: [{ replica: { name: "far" }, keep: { monthly: 3 } }],
  } as unknown as Policy;
  const at = (id: string, days: number, late = 0): CatalogPoint =>
    pointOf(id, now - days * day, now - (days - late) * day);
  const first = at("first", 80);
  /** Two months, as the primary has thinned them. */
  const here = [at("newest", 0), at("recent", 2), at("older", 40)];
  const wanted = (there: readonly CatalogPoint[], own = here): string[] => {
    const all = wantedAt({ policy: monthly, location: "far", now }, own, { there: () => there });
    return own.map(({ id }) => id).filter((id) => all.has(id));
  };

  test("is all that its rules keep where it has nothing, or only the same", () => {
    expect(wanted([])).toEqual(["newest", "older"]);
    expect(wanted(here)).toEqual(["newest", "older"]);
  });

  test("isn't an older point of a month of which it has a newer one, whenever that came", () => {
    expect(wanted([first, at("forgotten here", 39)])).toEqual(["newest"]);
    expect(wanted([first, at("forgotten here", 39, 30)])).toEqual(["newest"]);
    expect(wanted([first, at("forgotten here", 41)])).toEqual(["newest", "older"]);
  });

  test("isn't the primary's oldest one as the oldest of all, when it has an older one", () => {
    const oldest = [at("newest", 0), at("oldest", 5)];
    expect(wanted([], oldest)).toEqual(["newest", "oldest"]);
    expect(wanted([at("older still", 6)], oldest)).toEqual(["newest"]);
  });

  test("is the newest in any case, whatever it has from elsewhere", () => {
    const strangers = [first, at("stranger", -0.001), at("of tomorrow", -1), at("of no time", Number.NaN)];
    expect(wanted(strangers, [at("newest", 0)])).toEqual(["newest"]);
  });

  test("isn't what stays here alone, since it is proven or being read", () => {
    const proven = { ...at("proven", 1), proof: { result: "passed" }, readUntil: now + day } as unknown as CatalogPoint;
    expect(wanted([first], [at("newest", 0), proven, at("older", 40)])).toEqual(["newest", "older"]);
  });

  test("by way of another is judged at that one first, beside what that has", () => {
    const chain = {
      ...policy,
      replicate: [
        { replica: { name: "far" }, from: "near", keep: { daily: 9 } },
        { replica: { name: "near" }, keep: { monthly: 3 } },
      ],
    } as unknown as Policy;
    const all = (atNear: readonly CatalogPoint[]): ReadonlySet<string> => {
      const there = (name: string): readonly CatalogPoint[] => (name === "near" ? atNear : []);
      return wantedAt({ policy: chain, location: "far", now }, here, { there });
    };
    expect([...all([])]).toEqual(["newest", "older"]);
    expect([...all([first, at("forgotten here", 39)])]).toEqual(["newest"]);
  });
});
