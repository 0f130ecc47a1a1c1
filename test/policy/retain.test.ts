import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { KeepRules } from "../../src/policy/retention.ts";
import type { RetainPoint } from "../../src/policy/retain.ts";
import { retain } from "../../src/policy/retain.ts";
import { anyRules, anyTags, zones } from "./arbitraries.ts";

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;
const now = Date.parse("2026-07-01T12:00:00Z");
const clock = { now, timezone: "UTC" };
const cap = { count: 3, age: 10 * day };

function point(id: string, age: number, more: Partial<RetainPoint> = {}): RetainPoint {
  return { id, time: now - age, tags: [], ...more };
}

const lastOne: KeepRules = { last: 1 };

function reasonsOf(points: RetainPoint[], rules = lastOne): Record<string, readonly string[]> {
  return Object.fromEntries(retain(points, rules, clock, cap).keep.map(({ id, reasons }) => [id, reasons]));
}

test("held points stay", () => {
  expect(reasonsOf([point("new", hour), point("old", 900 * day, { held: true })])).toEqual({
    new: ["last", "newest"],
    old: ["held"],
  });
});

test("locked points stay until their locks have ended", () => {
  const points = [
    point("new", hour),
    point("locked", 2 * day, { lockedUntil: now + day }),
    point("free", 900 * day, { lockedUntil: now - 1 }),
  ];
  expect(reasonsOf(points)).toEqual({ new: ["last", "newest"], locked: ["locked until 2026-07-02 12:00 UTC"] });
});

test("what stays only for now is said to", () => {
  const points = [
    point("new", hour, { lockedUntil: now + day }),
    point("held", 4 * day, { held: true, lockedUntil: now + day }),
    point("locked", 5 * day, { lockedUntil: now + day }),
    point("read", 6 * day, { readUntil: now + day }),
    point("lacking", 7 * day, { missingAt: ["far"] }),
    point("old", 8 * day, { readUntil: now, lockedUntil: now }),
  ];
  const { remove, deferred } = retain(points, lastOne, clock, cap);
  expect([remove, deferred]).toEqual([["old"], ["locked", "read", "lacking"]]);
});

test("the newest point stays even when no rule keeps it", () => {
  const points = [point("new", hour), point("old", day)];
  expect(retain(points, { tags: [["never"]] }, clock, cap)).toEqual({
    keep: [{ id: "new", reasons: ["newest"] }],
    remove: ["old"],
    givenUp: [],
    deferred: [],
    shared: [],
  });
});

test("the newest verified point stays", () => {
  const points = [
    point("a", hour),
    point("b", day),
    point("c", 2 * day, { verified: true }),
    point("d", 3 * day, { verified: true }),
  ];
  expect(reasonsOf(points)["c"]).toEqual(["newest verified"]);
  expect(retain(points, { last: 1 }, clock, cap).remove).toEqual(["b", "d"]);
});

describe("points that a replica lacks", () => {
  const missingAt = ["dc2", "usb"];

  test("stay, and the reason names the replicas", () => {
    expect(reasonsOf([point("new", hour), point("old", day, { missingAt })])["old"]).toEqual(["not yet at dc2, usb"]);
  });

  test("are given up beyond the cap, the oldest first", () => {
    const points = Array.from({ length: 6 }, (_, index) => point(`p${index}`, (index + 1) * day, { missingAt }));
    const decision = retain(points, { last: 1 }, clock, cap);
    // The newest is kept by a rule and doesn't count.
    expect(decision.keep.map(({ id }) => id)).toEqual(["p0", "p1", "p2", "p3"]);
    expect(decision.givenUp).toEqual(["p4", "p5"]);
    expect(decision.remove).toEqual(["p4", "p5"]);
  });

  test("are given up when they are too old", () => {
    const points = [point("new", hour), point("young", 9 * day, { missingAt }), point("old", 11 * day, { missingAt })];
    expect(retain(points, { last: 1 }, clock, cap).givenUp).toEqual(["old"]);
  });
});

describe("points dated in the future", () => {
  test("stay and use up no slot", () => {
    const forged = Array.from({ length: 9 }, (_, index) => point(`forged${index}`, -(index + 1) * day));
    const decision = retain(
      [...forged, point("a", hour), point("b", day), point("c", 2 * day)],
      { last: 2 },
      clock,
      cap,
    );
    expect(decision.remove).toEqual(["c"]);
    expect(decision.keep.filter(({ reasons }) => reasons.includes("dated in the future"))).toHaveLength(9);
  });

  test("five minutes are a difference of clocks, not the future", () => {
    expect(reasonsOf([point("ahead", -4 * minute), point("old", hour)])).toEqual({ ahead: ["last", "newest"] });
    expect(reasonsOf([point("ahead", -6 * minute), point("old", hour)])).toEqual({
      ahead: ["dated in the future"],
      old: ["last", "newest"],
    });
  });

  test("a time that is none at all counts as one", () => {
    expect(reasonsOf([{ id: "x", time: Number.NaN, tags: [] }, point("a", hour)])["x"]).toEqual([
      "dated in the future",
    ]);
  });
});

describe("at a replica", () => {
  const genuine = Array.from({ length: 30 }, (_, index) =>
    point(`genuine${index}`, index * day + 12 * hour, { received: now - index * day - 12 * hour + 5 * minute }),
  );

  test("points forged into the past push no genuine one out", () => {
    // One for the last minute of each of the last 30 days, all received today.
    const forged = Array.from({ length: 30 }, (_, index) =>
      point(`forged${index}`, index * day + 12 * hour + minute, { received: now - hour }),
    );
    const late = forged.map((item) => ({ ...item, time: item.time + 10 * hour }));
    const rules = { daily: 14, monthly: 3 };
    const honest = retain(genuine, rules, clock, cap).keep.map(({ id }) => id);
    const attacked = retain([...genuine, ...late], rules, clock, cap).keep.map(({ id }) => id);
    // Today's slot by receipt is the forger's; the guard for the days before holds.
    const beforeToday = honest.slice(1);
    expect(attacked).toEqual(expect.arrayContaining(beforeToday));
  });

  test("without receipt times they would", () => {
    const blind = [
      ...genuine,
      ...Array.from({ length: 30 }, (_, index) => point(`forged${index}`, index * day + 11 * hour)),
    ].map(({ id, time, tags }) => ({ id, time, tags }));
    expect(retain(blind, { daily: 14 }, clock, cap).keep.some(({ id }) => id === "genuine5")).toBe(false);
  });

  test("points that arrive late by themselves keep their places", () => {
    const backlog = genuine.map((item) => ({ ...item, received: now - minute }));
    const kept = retain(backlog, { daily: 14 }, clock, cap).keep.filter(({ reasons }) => reasons.includes("daily"));
    expect(kept.map(({ id }) => id)).toEqual(genuine.slice(0, 14).map(({ id }) => id));
  });

  test("a point kept only by receipt says so", () => {
    const points = [
      point("forged", 20 * hour, { received: now - minute }),
      point("real", 30 * hour, { received: now - 30 * hour + minute }),
      point("oldest", 3 * day, { received: now - 3 * day }),
    ];
    expect(reasonsOf(points, { daily: 2 })["real"]).toEqual(["daily by receipt"]);
  });

  test("nothing was captured after it was received", () => {
    const ahead = point("ahead", hour, { received: now - 3 * day });
    const points = [ahead, point("real", 2 * day, { received: now - 2 * day }), point("old", 4 * day)];
    const expected = { ahead: ["newest"], real: ["last", "newest"] };
    expect(reasonsOf(points)).toEqual(expected);
    // A second one gains nothing.
    const another = point("another", 2 * hour, { received: now - 3 * day });
    expect(reasonsOf([...points, another])).toEqual(expected);
  });

  test("the newest stays also when the replica's clock is behind, as it comes and later", () => {
    let there: RetainPoint[] = [];
    for (let age = 60; age >= 0; age--) {
      const today = { now: now - age * day, timezone: "UTC" };
      const behind = age < 6 ? 21 * day : 0;
      const newest = { id: `p${age}`, time: today.now, tags: [], received: today.now + minute - behind };
      there.push(newest);
      const { remove } = retain(there, { last: 3, daily: 14, monthly: 6 }, today, cap);
      expect(remove).not.toContain(newest.id);
      there = there.filter(({ id }) => !remove.includes(id));
    }
  });

  test("what is dated in the future isn't the newest in another's place", () => {
    const forged = point("forged", -70 * 365 * day, { received: now - hour });
    const behind = point("behind", 2 * hour, { received: now - 21 * day });
    const real = point("real", 2 * day, { received: now - 2 * day });
    expect(reasonsOf([forged, behind, real, point("old", 4 * day)])).toEqual({
      forged: ["dated in the future"],
      behind: ["newest"],
      real: ["last", "newest"],
    });
  });

  test("an ordinary delay makes no difference", () => {
    const prompt = genuine.map((item) => ({ ...item, received: item.time + 50 * minute }));
    const plain = genuine.map(({ id, time, tags }) => ({ id, time, tags }));
    const rules = { hourly: 5, daily: 7, weekly: 4 };
    expect(retain(prompt, rules, clock, cap)).toEqual(retain(plain, rules, clock, cap));
  });
});

describe("for any points and rules", () => {
  const points = fc
    .array(
      fc.record(
        {
          time: fc.integer({ min: -2 * 24, max: 400 * 24 }).map((hours) => now - hours * hour),
          tags: anyTags,
          received: fc.integer({ min: 0, max: 400 * 24 }).map((hours) => now - hours * hour),
          held: fc.boolean(),
          verified: fc.boolean(),
          missingAt: fc.subarray(["dc2", "usb"]),
        },
        { requiredKeys: ["time", "tags"] },
      ),
      { maxLength: 40 },
    )
    .map((list): RetainPoint[] => list.map((item, index) => ({ id: `p${index}`, ...item })));
  const anyClock = fc.record({ now: fc.constant(now), timezone: fc.constantFrom(...zones) });

  test("the decision is complete and explained, the order doesn't matter, and it is final", () => {
    fc.assert(
      fc.property(points, anyRules, anyClock, (list, rules, when) => {
        const decision = retain(list, rules, when, cap);
        expect([...decision.keep.map(({ id }) => id), ...decision.remove].toSorted()).toEqual(
          list.map(({ id }) => id).toSorted(),
        );
        for (const { reasons } of decision.keep) expect(reasons.length).toBeGreaterThan(0);
        expect(retain(list.toReversed(), rules, when, cap)).toEqual(decision);
        const kept = new Set(decision.keep.map(({ id }) => id));
        expect(
          retain(
            list.filter(({ id }) => kept.has(id)),
            rules,
            when,
            cap,
          ).remove,
        ).toEqual([]);
      }),
    );
  });

  test("held points, future ones, the newest and the newest verified are never removed", () => {
    fc.assert(
      fc.property(points, anyRules, anyClock, (list, rules, when) => {
        const { remove } = retain(list, rules, when, cap);
        const past = list
          .filter(({ time }) => time <= now)
          .toSorted((a, b) => b.time - a.time || (a.id < b.id ? -1 : 1));
        // By receipt another one may be the newest verified, so that one is sure only without receipt times.
        const claimed = list.every(({ received }) => received === undefined);
        const newest = [past[0], claimed ? past.find(({ verified }) => verified === true) : undefined];
        const safe = list.filter((item) => item.held === true || item.time > now + 5 * minute || newest.includes(item));
        expect(safe.filter(({ id }) => remove.includes(id))).toEqual([]);
      }),
    );
  });
});
