/** The part of the configuration schema that says how fast a replica's line may be used. */

import * as z from "zod";
import type { Bandwidth, Rate } from "./bandwidth.ts";
import { rate } from "./fields.ts";
import { notEmpty, timezone, windowSettings } from "./schedule-settings.ts";

const unlimited = z.literal("unlimited").transform((): Rate => undefined);
const rateHelp = "expected a rate with its unit, such as 512KiB/s or 50MiB/s, or `unlimited`";
const rateOrNone = z.union([unlimited, rate], {
  error: (issue) => (issue.input === undefined ? undefined : rateHelp),
});

const window = z
  .strictObject({ ...windowSettings, rate: rateOrNone.describe("The most in this window, or `unlimited`.") })
  .superRefine(notEmpty);

const byTime = z.strictObject({
  default: rateOrNone.prefault("unlimited").describe("The most outside of the windows. Default: unlimited."),
  timezone: timezone.describe("Time zone of the windows."),
  windows: z
    .array(window)
    .min(1, { error: "without a window write the rate alone: `bandwidth: 50MiB/s`" })
    .describe("When another rate holds. Of windows that meet, the first one counts."),
});

export const bandwidth = z
  .union(
    [
      rate.transform((usual): Bandwidth => ({ usual, timezone: "UTC", windows: [] })),
      byTime.transform(({ default: usual, ...others }): Bandwidth => ({ usual, ...others })),
    ],
    { error: (issue) => (issue.input === undefined ? undefined : `${rateHelp}; or a map of rates by time`) },
  )
  .describe("The most that replication, sweeps and checks move there and back, such as 50MiB/s. Default: no limit.");
