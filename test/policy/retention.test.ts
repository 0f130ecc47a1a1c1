import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parsePeriod } from "../../src/policy/period.ts";
import type { KeepRules, Point } from "../../src/policy/retention.ts";
import { applyRules, countedRules, keepsAnything, periodRules } from "../../src/policy/retention.ts";
import { anyRules, anyTags, zones } from "./arbitraries.ts";

const now = Date.parse("2026-07-01T00:00:00Z");
const utc = { now, timezone: "UTC" };

/** Points whose ids are their times, so that expectations can be read. */
function at(...times: string[]): Point[] {
  return times.map((time) => ({
    id: time,
    time: Date.parse(time.length === 10 ? `${time}T12:00:00Z` : time),
    tags: [],
  }));
}

function keptIds(points: readonly Point[], rules: KeepRules, clock = utc): string[] {
  return applyRules(points, rules, clock).keep.map(({ id }) => id);
}

describe("counted rules", () => {
  test("last keeps the newest", () => {
    expect(keptIds(at("2026-01-01", "2026-01-03", "2026-01-02"), { last: 2 })).toEqual(["2026-01-03", "2026-01-02"]);
  });

  test("each keeps the newest of a slot, and counts only slots that have a point", () => {
    const points = at(
      "2026-01-05T10:00:00Z",
      "2026-01-05T10:59:59Z",
      "2026-01-05T11:00:00Z",
      "2026-01-09T10:00:00Z",
      "2025-12-01T00:00:00Z",
    );
    expect(keptIds(points, { hourly: 3 })).toEqual([
      "2026-01-09T10:00:00Z",
      "2026-01-05T11:00:00Z",
      "2026-01-05T10:59:59Z",
    ]);
    expect(keptIds(points, { daily: 2 })).toEqual(["2026-01-09T10:00:00Z", "2026-01-05T11:00:00Z"]);
    expect(keptIds(points, { monthly: 1 })).toEqual(["2026-01-09T10:00:00Z"]);
  });

  test("-1 keeps one of every slot", () => {
    const points = at("2020-03-01", "2021-03-01", "2021-04-01", "2022-03-01", "2020-02-01");
    expect(keptIds(points, { yearly: -1 })).toEqual(["2022-03-01", "2021-04-01", "2020-03-01", "2020-02-01"]);
  });

  test("weeks begin on Monday and know no year", () => {
    // 28 December 2020 to 3 January 2021 is one week, 53 of 2020; 4 January begins the next.
    const points = at("2020-12-27", "2020-12-28", "2020-12-31", "2021-01-01", "2021-01-03", "2021-01-04", "2020-12-01");
    expect(keptIds(points, { weekly: 3 })).toEqual(["2021-01-04", "2021-01-03", "2020-12-27"]);
  });

  test("the oldest point takes a slot that is still free", () => {
    const points = at(
      "2026-03-02T08:00:00Z",
      "2026-03-02T12:00:00Z",
      "2026-03-01T12:00:00Z",
      "2026-03-01T08:00:00Z",
      "2026-03-01T04:00:00Z",
    );
    expect(applyRules(points, { daily: 3 }, utc).keep).toEqual([
      { id: "2026-03-02T12:00:00Z", reasons: ["daily"] },
      { id: "2026-03-01T12:00:00Z", reasons: ["daily"] },
      { id: "2026-03-01T04:00:00Z", reasons: ["oldest daily"] },
    ]);
    expect(keptIds(points, { daily: 2 })).toEqual(["2026-03-02T12:00:00Z", "2026-03-01T12:00:00Z"]);
  });

  test("the oldest is the oldest that is left: it may have more reasons once others are gone", () => {
    const points = at("2026-03-02T12:30:00Z", "2026-03-02T11:59:00Z", "2026-03-01T12:00:00Z");
    const rules = { within_hourly: period("1h"), within_yearly: period("1h") };
    const keep = (list: Point[]) => applyRules(list, rules, utc).keep.map(({ reasons }) => reasons);
    expect(keep(points)).toEqual([["within_hourly 1h", "within_yearly 1h"], ["within_hourly 1h"]]);
    expect(keep(points.slice(0, 2))).toEqual([
      ["within_hourly 1h", "within_yearly 1h"],
      ["within_hourly 1h", "oldest within_yearly 1h"],
    ]);
  });

  test("days are the days of the zone", () => {
    const points = at("2026-06-10T21:30:00Z", "2026-06-10T22:30:00Z", "2026-06-01T00:00:00Z");
    expect(keptIds(points, { daily: 2 }, { now, timezone: "Europe/Berlin" })).toHaveLength(2);
    expect(keptIds(points, { daily: 2 }, { now, timezone: "Europe/Berlin" })).toContain("2026-06-10T21:30:00Z");
    expect(keptIds(points, { daily: 2 })).toEqual(["2026-06-10T22:30:00Z", "2026-06-01T00:00:00Z"]);
  });

  test("the hour that comes twice is one slot", () => {
    const points = at("2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:30:00Z", "2026-10-01T00:00:00Z");
    expect(keptIds(points, { hourly: 2 }, { now: Date.UTC(2027, 0, 1), timezone: "Europe/Berlin" })).toEqual([
      "2026-10-25T02:30:00Z",
      "2026-10-25T01:30:00Z",
    ]);
  });
});

describe("periods", () => {
  const days = at("2026-06-30", "2026-06-29", "2026-06-28T12:00:00Z", "2026-06-28T11:59:59Z", "2026-06-01");

  test("count from the newest point, not from now", () => {
    expect(keptIds(days, { within: period("2d") }, { now: now + 9e10, timezone: "UTC" })).toEqual([
      "2026-06-30",
      "2026-06-29",
    ]);
    expect(keptIds(days, { within: period("2d1h") })).toHaveLength(4);
  });

  test("don't count from a point of the future", () => {
    const points = [...days, ...at("2090-01-01")];
    expect(keptIds(points, { within: period("2d") })).toEqual(["2090-01-01", "2026-06-30", "2026-06-29"]);
  });

  test("with a slot keep the newest of each", () => {
    expect(keptIds(days, { within_daily: period("5d") })).toEqual(["2026-06-30", "2026-06-29", "2026-06-28T12:00:00Z"]);
    expect(keptIds(days, { within_monthly: period("1y") })).toEqual(["2026-06-30", "2026-06-01"]);
  });
});

test("tags: every tag of one of the lists", () => {
  const points = [["a"], ["b", "a"], ["c"], [], ["d", "b"]].map((tags, index) => ({
    id: tags.join("") || "none",
    time: index,
    tags,
  }));
  const decision = applyRules(points, { tags: [["a", "b"], ["c"]] }, utc);
  expect(decision.keep).toEqual([
    { id: "c", reasons: ["has tags [c]"] },
    { id: "ba", reasons: ["has tags [a, b]"] },
  ]);
  expect(decision.remove).toEqual(["db", "none", "a"]);
});

test("no rules in use keep everything; rules that match nothing keep nothing", () => {
  expect(applyRules(at("2026-01-01"), {}, utc).remove).toEqual([]);
  expect(applyRules(at("2026-01-01"), { last: 0, within: period("0h") }, utc).remove).toEqual([]);
  expect(applyRules(at("2026-01-01"), { tags: [["x"]] }, utc).keep).toEqual([]);
  expect(applyRules([], { last: 1 }, utc)).toEqual({ keep: [], remove: [] });
});

test("a hundred thousand points are no problem", () => {
  const points = Array.from({ length: 100_000 }, (_, index) => ({
    id: `${index}`,
    time: now - index * 60_000,
    tags: [],
  }));
  expect(keptIds(points, { hourly: 24, daily: 30, within: period("1d") }).length).toBeGreaterThan(1440);
});

describe("for any points and rules", () => {
  const dense = fc.integer({ min: 0, max: 40 * 24 * 4 }).map((quarter) => now - quarter * 15 * 60_000);
  const sparse = fc.integer({ min: -10, max: 5 * 365 }).map((day) => now - day * 86_400_000);
  const points = fc
    .array(fc.record({ time: fc.oneof(dense, sparse), tags: anyTags }), { maxLength: 60 })
    .map((list): Point[] => list.map((point, index) => ({ id: `p${index}`, ...point })));
  const clock = fc.record({ now: fc.constant(now), timezone: fc.constantFrom(...zones) });

  test("keep and remove are disjoint and complete, and every keep is explained", () => {
    fc.assert(
      fc.property(points, anyRules, clock, (list, rules, when) => {
        const { keep, remove } = applyRules(list, rules, when);
        expect([...keep.map(({ id }) => id), ...remove].toSorted()).toEqual(list.map(({ id }) => id).toSorted());
        for (const { reasons } of keep) expect(reasons.length).toBeGreaterThan(0);
        for (const { reasons } of keep) expect(new Set(reasons).size).toBe(reasons.length);
      }),
    );
  });

  test("the order of the input doesn't matter, nor do equal times", () => {
    const shuffled = points.chain((list) =>
      fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length, maxLength: list.length })),
    );
    fc.assert(
      fc.property(shuffled, anyRules, clock, ([list, other], rules, when) => {
        expect(applyRules(other, rules, when)).toEqual(applyRules(list, rules, when));
      }),
    );
  });

  test("another rule never removes", () => {
    fc.assert(
      fc.property(points, anyRules, anyRules, clock, (list, rules, more, when) => {
        const before = keptIds(list, rules, when);
        fc.pre(keepsAnything(rules));
        expect(keptIds(list, { ...more, ...rules }, when)).toEqual(expect.arrayContaining(before));
      }),
    );
  });

  test("a larger number never removes", () => {
    fc.assert(
      fc.property(
        points,
        fc.constantFrom(...countedRules),
        fc.integer({ min: 1, max: 20 }),
        clock,
        (list, rule, n, when) => {
          expect(keptIds(list, { [rule]: n + 1 }, when)).toEqual(
            expect.arrayContaining(keptIds(list, { [rule]: n }, when)),
          );
          expect(keptIds(list, { [rule]: -1 }, when)).toEqual(
            expect.arrayContaining(keptIds(list, { [rule]: n }, when)),
          );
        },
      ),
    );
  });

  test("what is kept is kept again, for the same reasons at least", () => {
    fc.assert(
      fc.property(points, anyRules, clock, (list, rules, when) => {
        const first = applyRules(list, rules, when);
        const kept = new Set(first.keep.map(({ id }) => id));
        const again = applyRules(
          list.filter(({ id }) => kept.has(id)),
          rules,
          when,
        );
        expect(again.remove).toEqual([]);
        // What has become the oldest takes slots that are free, as restic has it: that adds a reason and no point.
        expect(again.keep).toEqual(
          first.keep.map(({ id, reasons }) => ({ id, reasons: expect.arrayContaining([...reasons]) })),
        );
      }),
    );
  });

  test("no rule keeps more than it counts", () => {
    fc.assert(
      fc.property(
        points,
        fc.constantFrom(...countedRules),
        fc.integer({ min: 1, max: 20 }),
        clock,
        (list, rule, n, when) => {
          expect(keptIds(list, { [rule]: n }, when).length).toBeLessThanOrEqual(n);
        },
      ),
    );
  });

  test("the newest point that isn't of the future is kept by every period", () => {
    fc.assert(
      fc.property(points, fc.constantFrom(...periodRules), clock, (list, rule, when) => {
        const past = list
          .filter(({ time }) => time < now)
          .toSorted((a, b) => b.time - a.time || (a.id < b.id ? -1 : 1));
        // A point of the future in the same hour, day … is the newer one, as restic has it.
        fc.pre(past.length > 0 && past.length === list.length);
        expect(keptIds(list, { [rule]: period("1h") }, when)).toContain(past[0]?.id);
      }),
    );
  });
});

function period(text: string) {
  const parsed = parsePeriod(text);
  if (parsed === undefined) throw new Error(`not a period: ${text}`);
  return parsed;
}
