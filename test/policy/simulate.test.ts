import { describe, expect, test } from "vitest";
import { applyRules } from "../../src/policy/retention.ts";
import { parseKeepRules, parsePoints, parseTime } from "../../src/policy/simulate.ts";
import { isStillpointError } from "../../src/errors.ts";

function messageOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (isStillpointError(error, "config_invalid")) return error.message;
    throw error;
  }
  throw new Error("nothing was refused");
}

test("points and rules together decide", () => {
  const points = parsePoints(
    JSON.stringify([
      { id: "a", time: "2026-06-30T23:30:00+02:00", tags: ["x"] },
      { id: "b", time: "2026-06-30T12:00:00Z", tags: [], size: 5 },
      { id: "c", time: "2026-06-29T12:00:00.123456789Z" },
      { id: "d", time: "2026-06-28T12:00:00Z", tags: null },
    ]),
    "points.json",
  );
  const rules = parseKeepRules("daily: 2\ntags: [[x]]", "keep.yaml");
  expect(applyRules(points, rules, { now: Date.UTC(2026, 6, 1), timezone: "UTC" })).toEqual({
    keep: [
      { id: "a", reasons: ["has tags [x]", "daily"] },
      { id: "c", reasons: ["daily"] },
    ],
    remove: ["b", "d"],
  });
});

test("rules may stand under `keep`, as in a policy", () => {
  expect(parseKeepRules("keep: { last: -1 }", "k")).toEqual(parseKeepRules("last: -1", "k"));
});

describe("times", () => {
  test.each([
    ["1970-01-01T00:00:01Z", 1000],
    ["1970-01-01t01:00:00.5+01:00", 500],
    ["1970-01-01 00:00:00.000250Z", 0.25],
  ])("%s", (text, ms) => expect(parseTime(text)).toBe(ms));

  test.each([
    "",
    "2026-06-30",
    "2026-06-30T12:00:00",
    "2026-13-30T12:00:00Z",
    "yesterday",
    "2026-06-30T12:00Z",
    "1751284800",
  ])("refuses %j", (text) => expect(parseTime(text)).toBeUndefined());
});

test.each([
  ["{", "it isn't JSON"],
  ["{}", "expected a list, found a map of settings"],
  ['[{"id": "a"}]', "point 1, `time`: missing"],
  [
    '[{"id": "a", "time": "2026-06-30T12:00:00Z"}, {"id": "b", "time": 5}]',
    "point 2, `time`: expected a time with its zone",
  ],
  ['[{"id": "", "time": "2026-06-30T12:00:00Z"}]', "point 1, `id`: an id can't be empty"],
  ['[{"id": "a", "time": "2026-06-30T12:00:00Z", "tags": "x"}]', "point 1, `tags`: expected a list, found text"],
  [
    '[{"id": "a", "time": "2026-06-30T12:00:00Z"}, {"id": "a", "time": "2026-06-30T12:00:00Z"}]',
    'two points have the id "a"',
  ],
])("points %s are refused: %s", (text, reason) => {
  expect(messageOf(() => parsePoints(text, "points.json"))).toContain(`Cannot use points.json: ${reason}`);
});

test.each([
  ["dayly: 7", "keep.yaml:1:1: unknown setting `dayly`; did you mean `daily`?"],
  ["keep: { last: x }", "keep.yaml:1:15: expected a whole number, or -1 for all"],
  ["last: 0", "keep.yaml:1:1: these rules keep nothing"],
  ["", "keep.yaml:1:1: the file is empty"],
])("rules %j are refused: %s", (text, reason) => {
  expect(messageOf(() => parseKeepRules(text, "keep.yaml"))).toContain(reason);
});
