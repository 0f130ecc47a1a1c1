/** The part of the configuration schema that says when something runs. */

import * as z from "zod";
import { longestBlackout } from "./blackout.ts";
import { cronProblem, longestGap } from "./cron.ts";
import { duration, exactlyOne, oneOf, positiveDuration } from "./fields.ts";
import { formatDuration } from "./units.ts";
import { isTimeZone } from "./zone.ts";

const kinds = ["cron", "rpo", "manual"] as const;
const weekdays = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"] as const;

const clockTime = z
  .string({ error: (issue) => (issue.input === undefined ? undefined : "expected a time of day, such as '08:00'") })
  .regex(/^(?:[01]\d|2[0-3]):[0-5]\d$|^24:00$/, { error: "expected a time of day, such as '08:00'" })
  .transform((text) => (Number(text.slice(0, 2)) * 60 + Number(text.slice(3))) * 60_000);

/** The settings of a window of the week. */
export const windowSettings = {
  from: clockTime.describe("Local time at which the window begins."),
  to: clockTime.describe("Local time at which it ends; at or before `from` it is of the next day."),
  days: z
    .array(z.enum(weekdays))
    .min(1, { error: "a window needs a day; leave `days` out for every day" })
    .transform((days) => days.map((weekday) => weekdays.indexOf(weekday)))
    .prefault([...weekdays])
    .describe("The days on which the window begins. Default: every day."),
};

/** Refuses a window without a moment in it. */
export function notEmpty({ from, to }: { readonly from: number; readonly to: number }, context: z.RefinementCtx): void {
  if (from !== to) return;
  context.addIssue({ code: "custom", message: "the window is empty; a whole day is from '00:00' to '24:00'" });
}

const blackout = z.strictObject(windowSettings).superRefine(notEmpty);

export const timezone = z
  .string()
  .refine(isTimeZone, { error: "unknown time zone; write a name such as Europe/Berlin or UTC" })
  .default("UTC");

const scheduleSettings = z.strictObject({
  cron: z
    .string()
    .optional()
    .describe("Five fields (minute, hour, day of month, month, day of week), or six with seconds first."),
  rpo: positiveDuration.optional().describe("Start early enough that the newest point never gets older than this."),
  manual: z.literal(true).optional().describe("Run only when asked to."),
  timezone: timezone.describe("Time zone of the schedule, its blackouts, and the policy's keep rules."),
  jitter: duration.optional().describe("Spread the starts of several policies over this time. Default: 0s."),
  missed: z
    .enum(["run", "skip"])
    .optional()
    .describe("Whether a run whose time has passed is made up for. Default: run."),
  blackout: z.array(blackout).default([]).describe("Windows in which nothing starts."),
});

export const schedule = scheduleSettings.superRefine(exactlyOne(kinds)).superRefine(checkSchedule).meta(oneOf(kinds));

function checkSchedule(value: z.output<typeof scheduleSettings>, context: z.RefinementCtx): void {
  const refuse = (key: string, message: string): void => context.addIssue({ code: "custom", path: [key], message });
  if (value.cron === undefined) {
    if (value.jitter !== undefined) refuse("jitter", "`jitter` has a meaning only with `cron`");
    if (value.missed !== undefined) refuse("missed", "`missed` has a meaning only with `cron`");
  } else {
    const problem = cronProblem(value.cron);
    if (problem !== undefined) refuse("cron", `this isn't a cron expression that can be used: ${problem}`);
  }
  if (value.blackout.length === 0) return;
  if (value.manual === true) refuse("blackout", "`blackout` has no effect on `manual`");
  const longest = longestBlackout(value.blackout);
  if (longest === Number.POSITIVE_INFINITY)
    refuse("blackout", "these windows cover the whole week: nothing could ever start");
  else if (value.rpo !== undefined && longest >= value.rpo) {
    refuse(
      "blackout",
      `nothing may start for ${formatDuration(longest)}, so an rpo of ${formatDuration(value.rpo)} can't be met`,
    );
  }
}

/** The longest time between two runs, as far as that can be said: windows may shift runs apart, or together. */
export function cronGap({ cron, blackout: windows }: z.output<typeof scheduleSettings>): number {
  const regular = cron !== undefined && windows.length === 0 && cronProblem(cron) === undefined;
  return regular ? longestGap(cron) : 0;
}
