import fc from "fast-check";
import { expect, test } from "vitest";
import { closest, editDistance } from "../../src/policy/suggest.ts";

test.each([
  ["", "", 0],
  ["keep", "kepe", 1],
  ["keep", "kep", 1],
  ["keep", "keeep", 1],
  ["keep", "kelp", 1],
  ["ca", "abc", 3],
  ["schedule", "shcedlue", 2],
])("%s and %s are %i apart", (a, b, distance) => expect(editDistance(a, b)).toBe(distance));

test("the distance is a symmetric one, and zero only for the same word", () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 8 }), fc.string({ maxLength: 8 }), (a, b) => {
      expect(editDistance(a, b)).toBe(editDistance(b, a));
      expect(editDistance(a, b) === 0).toBe(a === b);
      expect(editDistance(a, b)).toBeLessThanOrEqual(Math.max(a.length, b.length));
    }),
  );
});

const settings = ["cron", "rpo", "manual", "timezone", "jitter", "missed", "blackout"];

test.each([
  ["timezon", "timezone"],
  ["Cron", "cron"],
  ["blackouts", "blackout"],
  ["jiter", "jitter"],
])("%s was meant to be %s", (word, meant) => expect(closest(word, settings)).toBe(meant));

test.each(["vm", "x", "frequency", ""])("nothing is near %j", (word) =>
  expect(closest(word, settings)).toBeUndefined(),
);
