/** The configuration file: one definition for checking it, for its types and for `config/stillpoint.schema.json`. */

import * as z from "zod";
import { longestBlackout } from "./blackout.ts";
import { cronProblem, longestGap } from "./cron.ts";
import { duration, exactlyOne, keepRules, name, oneOf, path, positiveDuration, rate, run, tag } from "./fields.ts";
import { formatDuration } from "./units.ts";
import { isTimeZone } from "./zone.ts";

const keyOrigins = ["key_file", "key_credential", "passphrase_file"] as const;
const sourceKinds = ["directory", "image", "command"] as const;
const scheduleKinds = ["cron", "rpo", "manual"] as const;
const weekdays = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"] as const;

const repository = z
  .strictObject({
    path: path.describe("Folder of the repository. A relative path begins at this file."),
    key_file: path.optional().describe("File with the repository's key."),
    key_credential: z
      .string()
      .regex(/^[A-Za-z0-9_.-]{1,255}$/, { error: "a credential's name has letters, digits and `_.-` only" })
      .optional()
      .describe("Name of a systemd credential (LoadCredential=) with the repository's key."),
    passphrase_file: path.optional().describe("File with the repository's passphrase."),
    state: path
      .optional()
      .describe("Folder for the control socket and for what can be found out again. Default: `state` beside `path`."),
  })
  .superRefine(exactlyOne(keyOrigins))
  .meta(oneOf(keyOrigins))
  .describe("The local repository, in which every recovery point is kept first.");

const replica = z
  .strictObject({
    path: path.describe("Folder of the replica, such as a mounted disk or share."),
    bandwidth: rate.optional().describe("The most that is sent, such as 50MiB/s. Default: no limit."),
  })
  .describe("A complete copy elsewhere, restorable with the key alone.");

const clockTime = z
  .string({ error: (issue) => (issue.input === undefined ? undefined : "expected a time of day, such as '08:00'") })
  .regex(/^(?:[01]\d|2[0-3]):[0-5]\d$|^24:00$/, { error: "expected a time of day, such as '08:00'" })
  .transform((text) => (Number(text.slice(0, 2)) * 60 + Number(text.slice(3))) * 60_000);

const blackout = z
  .strictObject({
    from: clockTime.describe("Local time at which the window begins."),
    to: clockTime.describe("Local time at which it ends; at or before `from` it is of the next day."),
    days: z
      .array(z.enum(weekdays))
      .min(1, { error: "a window needs a day; leave `days` out for every day" })
      .transform((days) => days.map((weekday) => weekdays.indexOf(weekday)))
      .prefault([...weekdays])
      .describe("The days on which the window begins. Default: every day."),
  })
  .refine(({ from, to }) => from !== to, { error: "the window is empty; a whole day is from '00:00' to '24:00'" });

const scheduleSettings = z.strictObject({
  cron: z
    .string()
    .optional()
    .describe("Five fields (minute, hour, day of month, month, day of week), or six with seconds first."),
  rpo: positiveDuration.optional().describe("Start early enough that the newest point never gets older than this."),
  manual: z.literal(true).optional().describe("Run only when asked to."),
  timezone: z
    .string()
    .refine(isTimeZone, { error: "unknown time zone; write a name such as Europe/Berlin or UTC" })
    .default("UTC")
    .describe("Time zone of the schedule, its blackouts, and the policy's keep rules."),
  jitter: duration.optional().describe("Spread the starts of several policies over this time. Default: 0s."),
  missed: z
    .enum(["run", "skip"])
    .optional()
    .describe("Whether a run whose time has passed is made up for. Default: run."),
  blackout: z.array(blackout).default([]).describe("Windows in which nothing starts."),
});

const schedule = scheduleSettings
  .superRefine(exactlyOne(scheduleKinds))
  .superRefine(checkSchedule)
  .meta(oneOf(scheduleKinds));

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

const hook = z.strictObject({
  run,
  timeout: positiveDuration.prefault("1m").describe("When it is stopped, and counts as failed."),
});

const source = z
  .strictObject({
    directory: z
      .strictObject({
        path: path.describe("The folder."),
        exclude: z
          .array(
            z
              .string()
              .min(1, { error: "a pattern can't be empty" })
              .refine((text) => !text.startsWith("!"), {
                error: "a pattern that takes others back (`!`) isn't supported",
              }),
          )
          .default([])
          .describe(
            "Glob patterns. Without a slash: names anywhere below. With one: paths from the folder on; `**` crosses folders.",
          ),
        one_file_system: z.boolean().default(true).describe("Leave out what is mounted inside."),
      })
      .optional()
      .describe("A folder with everything in it."),
    image: z
      .strictObject({ path: path.describe("The block device or image file.") })
      .optional()
      .describe("A block device or an image file."),
    command: z
      .strictObject({
        run,
        timeout: positiveDuration.prefault("6h").describe("When it is stopped, and no recovery point results."),
        environment: z
          .record(
            z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, { error: "not a name for an environment variable" }),
            z.string(),
          )
          .default({})
          .describe("Environment variables for it, as text: quote numbers."),
      })
      .optional()
      .describe("What a dump program writes to its standard output."),
    hooks: z
      .strictObject({
        before: hook.optional().describe("Before the instant. When it fails, nothing is captured."),
        after: hook.optional().describe("As soon as the instant is taken or has failed, before the copying."),
        always: hook.optional().describe("At the very end, whatever happened."),
      })
      .default({})
      .describe("Commands around the capture."),
    tags: z.array(tag).default([]).describe("Tags that every recovery point of this source gets."),
  })
  .superRefine(exactlyOne(sourceKinds))
  .meta(oneOf(sourceKinds))
  .describe("Something protected.");

const policySettings = z.strictObject({
  sources: z.array(z.string()).min(1, { error: "a policy needs at least one source" }).describe("Names of sources."),
  schedule: schedule.describe("When captures start: by `cron`, early enough for an `rpo`, or `manual: true`."),
  objectives: z
    .strictObject({
      rpo: positiveDuration.optional().describe("How old the newest recovery point may get."),
      offsite_rpo: positiveDuration.optional().describe("How old the newest point at each replica may get."),
    })
    .default({})
    .describe("What is promised, measured and reported. An `rpo` of the schedule is an objective too."),
  keep: keepRules,
  unreplicated: z
    .strictObject({
      count: z.int().min(0).default(200).describe("At most this many points."),
      age: duration.prefault("14d").describe("No point older than this."),
    })
    .prefault({})
    .describe("Points that no rule keeps stay while a replica still lacks them, within these limits."),
  replicate: z
    .record(
      z.string(),
      z.strictObject({ keep: keepRules.optional().describe("Rules there. Default: the policy's own.") }),
    )
    .default({})
    .describe("Replicas that get every recovery point, by name."),
});

const policy = policySettings
  .superRefine(checkObjectives)
  .describe("Which sources, when, how long kept, and where else.");

function checkObjectives(value: z.output<typeof policySettings>, context: z.RefinementCtx): void {
  const { cron, rpo } = value.schedule;
  const regular = cron !== undefined && value.schedule.blackout.length === 0 && cronProblem(cron) === undefined;
  const gap = rpo ?? (regular ? longestGap(cron) : 0);
  for (const key of ["rpo", "offsite_rpo"] as const) {
    const objective = value.objectives[key];
    // A point counts when it is committed, a little after its run has started; an rpo of the schedule allows for that.
    if (objective === undefined || (rpo === undefined ? objective > gap : objective >= gap)) continue;
    const message = `the schedule leaves up to ${formatDuration(gap)} between recovery points, so an ${key} of ${formatDuration(objective)} can't be met`;
    context.addIssue({ code: "custom", path: ["objectives", key], message });
  }
  if (value.objectives.offsite_rpo !== undefined && Object.keys(value.replicate).length === 0) {
    const message = "an offsite_rpo needs a replica: there is nothing under `replicate`";
    context.addIssue({ code: "custom", path: ["objectives", "offsite_rpo"], message });
  }
}

const partHelp = "expected a part such as 1/12, or 1/1 for everything";

const maintenance = z.strictObject({
  sweep: schedule
    .prefault({ cron: "30 3 * * *", jitter: "30m" })
    .describe("When the space of forgotten recovery points is freed."),
  grace: positiveDuration
    .prefault("24h")
    .describe("How long unreferenced data stays at least. No capture may take longer."),
  check: z
    .strictObject({
      schedule: schedule.prefault({ cron: "30 5 * * sun", jitter: "30m" }).describe("When the repository is checked."),
      read_data: z
        .string({ error: (issue) => (issue.input === undefined ? undefined : partHelp) })
        .regex(/^1\/[1-9]\d{0,3}$/, { error: partHelp })
        .transform((text) => Number(text.slice(2)))
        .optional()
        .describe("The part of the stored bytes that each check reads, another one each time: 1/12. Default: none."),
    })
    .prefault({})
    .describe("Looking for damage."),
});

const listenHelp = "expected an address and a port, such as 127.0.0.1:9464";

const daemon = z.strictObject({
  listen: z
    .string({ error: (issue) => (issue.input === undefined ? undefined : listenHelp) })
    .regex(/^(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):\d{1,5}$/, { error: listenHelp })
    .refine((text) => Number(text.slice(text.lastIndexOf(":") + 1)) <= 65_535, { error: "a port is at most 65535" })
    .default("127.0.0.1:9464")
    .describe("Address and port of metrics and health. Whoever reaches it can read them, and change nothing."),
  concurrency: z.int().min(1).max(64).default(2).describe("Captures at the same time."),
  log_level: z.enum(["trace", "debug", "info", "warn", "error"]).default("info").describe("The least that is logged."),
});

export const configFile = z
  .strictObject({
    version: z
      .literal(1, {
        error: (issue) => (issue.input === undefined ? undefined : "the version of this file's format is the number 1"),
      })
      .describe("Version of this file's format."),
    repository,
    replicas: z.record(name, replica).default({}).describe("Complete copies elsewhere, by name."),
    sources: z.record(name, source).describe("What is protected, by name."),
    policies: z.record(name, policy).describe("When each source is captured and how long it is kept, by name."),
    maintenance: maintenance.prefault({}).describe("Freeing space and looking for damage."),
    daemon: daemon.prefault({}).describe("The process itself."),
  })
  .meta({ title: "Stillpoint configuration" });

export type ConfigFile = z.output<typeof configFile>;
