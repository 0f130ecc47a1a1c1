/** The small parts of the configuration schema: names, paths, units, commands, keep rules. */

import * as z from "zod";
import { parsePeriod, periodPattern } from "./period.ts";
import { countedRules, keepsAnything } from "./retention.ts";
import { durationPattern, parseDuration, parseRate, parseSize, ratePattern, sizePattern } from "./units.ts";

const namePattern = /^[a-z0-9][a-z0-9._-]{0,62}$/;

export const name = z
  .string()
  .regex(namePattern, {
    error: "a name has 1 to 63 of a-z, 0-9, `.`, `_` and `-`, and begins with a letter or a digit",
  })
  .refine((text) => text !== "primary", { error: "`primary` is reserved: it is the name of the local repository" });

/** A string written in a unit, as the number that `parse` makes of it. */
function written(
  pattern: RegExp,
  parse: (text: string) => number | undefined,
  error: string,
): z.ZodType<number, string> {
  return z
    .string({ error: (issue) => (issue.input === undefined ? undefined : error) })
    .regex(pattern, { error })
    .transform((text, context) => {
      const value = parse(text);
      if (value !== undefined) return value;
      context.addIssue({ code: "custom", message: error });
      return z.NEVER;
    });
}

const durationHelp = "expected a duration with its unit, such as 500ms, 30s, 15m, 1h30m, 24h or 30d";

export const duration = written(durationPattern, parseDuration, durationHelp);
export const positiveDuration = duration.refine((ms) => ms > 0, { error: "a duration of nothing has no effect here" });
export const size = written(sizePattern, parseSize, "expected a size with its unit, such as 512MiB or 10GiB");
export const rate = written(
  ratePattern,
  parseRate,
  "expected a rate with its unit, such as 512KiB/s or 50MiB/s",
).refine((bytes) => bytes >= 1024, { error: "less than 1KiB/s never finishes" });

const shareHelp = "expected a share such as 50%, from 1% to 100%";

/** `50%` as 0.5. */
export const share = z
  .string({ error: (issue) => (issue.input === undefined ? undefined : shareHelp) })
  .regex(/^(?:[1-9]\d?|100)%$/, { error: shareHelp })
  .transform((text) => Number(text.slice(0, -1)) / 100);

export const path = z
  .string()
  .min(1, { error: "a path can't be empty" })
  .refine((text) => !text.includes("\0"), { error: "a path can't contain a NUL character" })
  .refine((text) => !text.startsWith("~"), { error: "`~` isn't expanded: write the whole path" });

export const credential = z
  .string()
  .regex(/^[A-Za-z0-9_.-]{1,255}$/, { error: "a credential's name has letters, digits and `_.-` only" });

export const tag = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._:=@/+-]{0,62}$/, {
  error: "a tag has 1 to 63 of A-Z, a-z, 0-9 and `._:=@/+-`, and begins with a letter or a digit",
});

export const run = z
  .array(z.string().refine((text) => !text.includes("\0"), { error: "an argument can't contain a NUL character" }))
  .min(1, { error: "a command needs at least the program" })
  .refine((list) => list[0] !== "", { error: "the program's name is empty" })
  .describe("Program and arguments as a list. No shell: no quoting, no pipes, no variables.");

/** Refuses an object that has none, or more than one, of `keys`. */
export function exactlyOne<T extends object>(keys: readonly (keyof T & string)[]) {
  return (value: T, context: z.RefinementCtx): void => {
    const found = keys.filter((key) => value[key] !== undefined);
    if (found.length === 1) return;
    const have = found.length === 0 ? "none is here" : `${found.join(" and ")} are here`;
    context.addIssue({ code: "custom", message: `exactly one of ${keys.join(", ")} is needed; ${have}` });
  };
}

/** The same for editors, in the JSON Schema. */
export function oneOf(keys: readonly string[]): { oneOf: object[] } {
  return { oneOf: keys.map((key) => ({ required: [key] })) };
}

function count(what: string) {
  return z
    .int({ error: (issue) => (issue.input === undefined ? undefined : "expected a whole number, or -1 for all") })
    .min(-1, { error: "expected a whole number, or -1 for all" })
    .optional()
    .describe(`Keep ${what}. -1 keeps all.`);
}

const periodHelp = "expected a period of years, months, days and hours, such as 1y5m7d2h (m is a month) or 30d";

function period(what: string) {
  return z
    .string({ error: (issue) => (issue.input === undefined ? undefined : periodHelp) })
    .regex(periodPattern, { error: periodHelp })
    .transform((text, context) => {
      const value = parsePeriod(text);
      if (value !== undefined) return value;
      context.addIssue({ code: "custom", message: periodHelp });
      return z.NEVER;
    })
    .optional()
    .describe(`Keep ${what} in the period before the newest one, such as 1y5m7d2h (m is a month).`);
}

export const keepRules = z
  .strictObject({
    last: count("the newest n recovery points"),
    hourly: count("the newest point of each of the last n hours that have one"),
    daily: count("the newest point of each of the last n days that have one"),
    weekly: count("the newest point of each of the last n weeks (from Monday) that have one"),
    monthly: count("the newest point of each of the last n months that have one"),
    yearly: count("the newest point of each of the last n years that have one"),
    within: period("all points"),
    within_hourly: period("the newest point of each hour"),
    within_daily: period("the newest point of each day"),
    within_weekly: period("the newest point of each week"),
    within_monthly: period("the newest point of each month"),
    within_yearly: period("the newest point of each year"),
    tags: z
      .array(z.array(tag).min(1, { error: "an empty list of tags would keep every point" }))
      .optional()
      .describe("Keep points that have every tag of one of these lists: [[a, b], [c]]."),
  })
  .refine(keepsAnything, {
    error: `these rules keep nothing: give at least one of ${countedRules.join(", ")}, within… or tags`,
  })
  .describe("A recovery point stays as long as any of these rules keeps it.");
