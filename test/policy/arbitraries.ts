/** Random rules and tags for the property tests of retention. */

import fc from "fast-check";
import type { KeepRules } from "../../src/policy/retention.ts";
import { countedRules, periodRules } from "../../src/policy/retention.ts";

export const zones = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"] as const;

export const anyTags = fc.subarray(["a", "b", "c"]);

const anyPeriod = fc.record({
  years: fc.integer({ min: 0, max: 2 }),
  months: fc.integer({ min: 0, max: 14 }),
  days: fc.integer({ min: 0, max: 40 }),
  hours: fc.integer({ min: 0, max: 60 }),
});

const counts = Object.fromEntries(countedRules.map((rule) => [rule, fc.integer({ min: -1, max: 12 })]));
const periods = Object.fromEntries(periodRules.map((rule) => [rule, anyPeriod]));

export const anyRules: fc.Arbitrary<KeepRules> = fc.record(
  { ...counts, ...periods, tags: fc.array(fc.subarray(["a", "b", "c"], { minLength: 1 }), { maxLength: 2 }) },
  { requiredKeys: [] },
);
