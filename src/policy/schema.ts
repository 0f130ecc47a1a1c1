/** The configuration file: one definition for checking it, for its types and for `config/stillpoint.schema.json`. */

import * as z from "zod";
import {
  credential,
  duration,
  exactlyOne,
  keepRules,
  name,
  oneOf,
  path,
  positiveDuration,
  run,
  share,
  size,
  tag,
} from "./fields.ts";
import { notifySettings } from "./notify-settings.ts";
import { replica } from "./replica-settings.ts";
import { cronGap, schedule } from "./schedule-settings.ts";
import { day, formatDuration } from "./units.ts";

const keyOrigins = ["key_file", "key_credential", "passphrase_file"] as const;
const sourceKinds = ["directory", "image", "command", "vm"] as const;

const repository = z
  .strictObject({
    path: path.describe("Folder of the repository. A relative path begins at this file."),
    key_file: path.optional().describe("File with the repository's key."),
    key_credential: credential
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

const hook = z.strictObject({
  run,
  timeout: positiveDuration.prefault("1m").describe("When it is stopped, and counts as failed."),
});

const vmSettings = z.strictObject({
  qmp: path.describe("QEMU's QMP socket, which Stillpoint has for itself."),
  memory: z.boolean().default(true).describe("Capture RAM, processors and devices too, of the disks' instant."),
  max_pause: positiveDuration.prefault("500ms").describe("The longest that the guest may stand still."),
  disks: z
    .union([z.literal("all"), z.array(z.string().min(1)).min(1)], {
      error: (issue) => (issue.input === undefined ? undefined : "expected `all`, or a list of names of disks"),
    })
    .default("all")
    .describe("Which disks: all, or a list of names as `stillpoint show` has them."),
  guest_agent: path
    .optional()
    .describe("The guest agent's socket, to freeze the guest's file systems when `memory` is false."),
  spool: path
    .optional()
    .describe("Folder for what QEMU writes during a capture. Default: `spool` in the state folder."),
  scratch: size
    .refine((bytes) => bytes >= 2 ** 20, { error: "less than 1MiB is no room for a single write" })
    .prefault("10GiB")
    .describe(
      "How much may be kept there of what the guest overwrites meanwhile. When it is used up, the capture fails.",
    ),
});

const vm = vmSettings
  .superRefine((value, context) => {
    if (!value.memory || value.guest_agent === undefined) return;
    const message = "with its memory a guest is captured as it runs: `guest_agent` is only for `memory: false`";
    context.addIssue({ code: "custom", path: ["guest_agent"], message });
  })
  .describe("A running virtual machine of QEMU.");

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
    vm: vm.optional(),
    hooks: z
      .strictObject({
        before: hook.optional().describe("Before the instant. When it fails, nothing is captured."),
        after: hook.optional().describe("As soon as the source may change again, whatever happened."),
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
  together: z
    .boolean()
    .default(false)
    .describe("Capture all sources at one instant. They must all be virtual machines."),
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
      z.strictObject({
        keep: keepRules.optional().describe("Rules there. Default: the policy's own."),
        from: z
          .string()
          .optional()
          .describe(
            "The replica whose recovery points are sent there; the policy replicates to it as well. Default: the primary.",
          ),
        lock: duration
          .refine((length) => length >= day && length <= 3660 * day, { error: "a lock is of 1d to 3660d (ten years)" })
          .optional()
          .describe(
            "For how long, at any moment, what the rules keep there can't be destroyed by anyone. The replica needs `object_lock`.",
          ),
      }),
    )
    .default({})
    .describe("Replicas that get every recovery point, by name."),
});

const policy = policySettings
  .superRefine(checkObjectives)
  .superRefine(checkLocks)
  .describe("Which sources, when, how long kept, and where else.");

function checkObjectives(value: z.output<typeof policySettings>, context: z.RefinementCtx): void {
  const { rpo } = value.schedule;
  for (const key of ["rpo", "offsite_rpo"] as const) {
    const objective = value.objectives[key];
    const gap = rpo ?? cronGap(value.schedule);
    // What is no duration has been told of.
    if (objective === undefined || !Number.isFinite(objective) || !Number.isFinite(gap)) continue;
    // A point counts when it is committed, a little after its run has started; an rpo of the schedule allows for that.
    if (rpo === undefined ? objective > gap : objective >= gap) continue;
    const message = `the schedule leaves up to ${formatDuration(gap)} between recovery points, so an ${key} of ${formatDuration(objective)} can't be met`;
    context.addIssue({ code: "custom", path: ["objectives", key], message });
  }
  if (value.objectives.offsite_rpo !== undefined && Object.keys(value.replicate).length === 0) {
    const message = "an offsite_rpo needs a replica: there is nothing under `replicate`";
    context.addIssue({ code: "custom", path: ["objectives", "offsite_rpo"], message });
  }
}

/** Locks are renewed by the policy's runs. */
function checkLocks(value: z.output<typeof policySettings>, context: z.RefinementCtx): void {
  if (value.schedule.manual === true) return;
  const gap = value.schedule.rpo ?? cronGap(value.schedule);
  for (const [there, { lock }] of Object.entries(value.replicate)) {
    // One that is too short, or no duration, has been told of.
    if (lock === undefined || lock < day || lock > gap) continue;
    const message = `the schedule leaves up to ${formatDuration(gap)} between runs, which renew locks: one of ${formatDuration(lock)} would end before`;
    context.addIssue({ code: "custom", path: ["replicate", there, "lock"], message });
  }
}

const partHelp = "expected 1/1 for everything, a part such as 1/4, or none";

const maintenance = z.strictObject({
  sweep: schedule
    .prefault({ cron: "30 3 * * *", jitter: "30m" })
    .describe("When the space of forgotten recovery points is freed."),
  grace: positiveDuration
    .prefault("24h")
    .describe("How long unreferenced data stays at least. No capture may take longer."),
  retention_guard: share
    .prefault("50%")
    .describe(
      "Keep rules that are new to a source may forget this share of its recovery points at once; more takes `stillpoint config accept`.",
    ),
  check: z
    .strictObject({
      schedule: schedule.prefault({ cron: "30 5 1 * *", jitter: "30m" }).describe("When each location is checked."),
      read_data: z
        .string({ error: (issue) => (issue.input === undefined ? undefined : partHelp) })
        .regex(/^(?:1\/[1-9]\d{0,3}|none)$/, { error: partHelp })
        .transform((text) => (text === "none" ? undefined : Number(text.slice(2))))
        .prefault("1/1")
        .describe("How much of the stored bytes each check reads: all, or a part, another one each time, or none."),
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
  notify: notifySettings.prefault({}),
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
  .superRefine((value, context) => {
    const { grace } = value.maintenance;
    for (const [key, { command }] of Object.entries(value.sources)) {
      if (command === undefined || command.timeout < grace) continue;
      const message = `with a timeout of ${formatDuration(command.timeout)} this could outlast the grace period of ${formatDuration(grace)}, which no capture may`;
      context.addIssue({ code: "custom", path: ["sources", key, "command", "timeout"], message });
    }
  })
  .meta({ title: "Stillpoint configuration" });

export type ConfigFile = z.output<typeof configFile>;
