import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { gapsOf, marksOf, type TimelinePoint } from "../../src/daemon/timeline.ts";
import { day, hour, minute } from "../../src/policy/units.ts";

/** A chain of points of the given instants, each committed a minute after its instant. */
function chain(...times: number[]): TimelinePoint[] {
  return times.map((time, number) => ({
    id: String(number),
    digest: `d${String(number)}`,
    previous: number === 0 ? null : `d${String(number - 1)}`,
    time,
    arrived: time + minute,
    verified: number % 3 === 0,
    held: number === 1,
  }));
}

const year = 365 * day;
const times = fc.uniqueArray(fc.integer({ min: 0, max: year }), { minLength: 1, maxLength: 300 });

describe("marks", () => {
  it("are the points themselves while there are few, newest first", () => {
    const marks = marksOf(chain(1, 2, 3), hour, 3);
    expect(marks.map(({ id, from, to, count }) => [id, from, to, count])).toEqual([
      ["2", 3, 3, 1],
      ["1", 2, 2, 1],
      ["0", 1, 1, 1],
    ]);
    expect(marks.map(({ verified, held }) => [verified, held])).toEqual([
      [0, 0],
      [0, 1],
      [1, 0],
    ]);
  });

  it("stay few, lose no point, and don't overlap", () => {
    fc.assert(
      fc.property(times, fc.integer({ min: 1, max: 100 }), (instants, most) => {
        const points = chain(...instants.toSorted((a, b) => a - b));
        const marks = marksOf(points, year, most);
        expect(marks.length).toBeLessThanOrEqual(most);
        const sum = (of: "count" | "verified" | "held"): number => marks.reduce((total, one) => total + one[of], 0);
        expect(sum("count")).toBe(points.length);
        expect(sum("verified")).toBe(points.filter(({ verified }) => verified).length);
        expect(sum("held")).toBe(points.filter(({ held }) => held).length);
        for (const [number, { from, to }] of marks.entries()) {
          expect(from).toBeLessThanOrEqual(to);
          expect(to).toBeLessThan(marks[number - 1]?.from ?? Infinity);
        }
      }),
      { numRuns: 100 },
    );
  });
});

describe("gaps", () => {
  it("are when the newest point was too old, until the next one was there", () => {
    const points = chain(0, hour, 5 * hour, 6 * hour);
    expect(gapsOf(points, points, 2 * hour)).toEqual([{ from: 3 * hour, to: 5 * hour + minute }]);
  });

  it("aren't where something was captured and forgotten since", () => {
    const points = chain(0, hour, 2 * hour, 3 * hour, 4 * hour, 5 * hour).filter((_, number) => number % 4 === 0);
    expect(gapsOf(points, points, 2 * hour)).toEqual([]);
  });

  it("are seen through points that another policy has captured", () => {
    const points = chain(0, hour, 2 * hour, 3 * hour);
    const [first, , , last] = points;
    expect(gapsOf([first, last] as TimelinePoint[], points, 2 * hour)).toEqual([
      { from: 2 * hour, to: 3 * hour + minute },
    ]);
  });

  it("are one where points came late and all at once", () => {
    const points = chain(0, hour, 2 * hour, 3 * hour).map((point, number) => ({
      ...point,
      arrived: number === 0 ? minute : 10 * hour + number,
    }));
    expect(gapsOf(points, points, 90 * minute)).toEqual([{ from: 90 * minute, to: 10 * hour + 3 }]);
  });

  it("are exactly the times at which no point that was there was young enough", () => {
    const delays = fc.array(fc.integer({ min: 0, max: 5 * day }), { minLength: 300, maxLength: 300 });
    fc.assert(
      fc.property(times, delays, fc.integer({ min: hour, max: 30 * day }), (instants, late, objective) => {
        const points = chain(...instants.toSorted((a, b) => a - b)).map((point, number) => ({
          ...point,
          arrived: point.time + (late[number] ?? 0),
        }));
        const gaps = gapsOf(points, points, objective);
        const begun = Math.min(...points.map(({ arrived }) => arrived));
        const done = points.at(-1)?.arrived ?? 0;
        for (let at = begun; at < done; at += year / 97) {
          const newest = Math.max(...points.filter(({ arrived }) => arrived <= at).map(({ time }) => time));
          const isGap = gaps.some(({ from, to }) => from < at && at < to);
          expect(isGap).toBe(at > newest + objective);
        }
      }),
      { numRuns: 60 },
    );
  });
});
