/** Locks that may have ended before a check sees what was done to what they hold. */
import type { Path, YamlDocument } from "./document.ts";
import type { Problem } from "./problems.ts";
import { cronGap } from "./schedule-settings.ts";
import type { ConfigFile } from "./schema.ts";
import { formatDuration } from "./units.ts";

/** Warnings: whoever checks from another machine as well has nothing to fear. */
export function lateChecks({ policies, maintenance }: ConfigFile, { rangeOf }: YamlDocument): Problem[] {
  const locks = Object.entries(policies).flatMap(([policy, { replicate }]) =>
    Object.entries(replicate).flatMap(([replica, { lock }]) => {
      const place: Path = ["policies", policy, "replicate", replica, "lock"];
      return lock === undefined ? [] : [{ place, lock }];
    }),
  );
  // To find the gap takes a while.
  if (locks.length === 0) return [];
  const { schedule } = maintenance.check;
  const gap = schedule.rpo ?? cronGap(schedule);
  return locks
    .filter(({ lock }) => lock <= gap)
    .map(({ place, lock }) => ({
      range: rangeOf(place),
      message: `checks are up to ${formatDuration(gap)} apart, so a lock of ${formatDuration(lock)} may have ended before one sees what somebody hid: let \`maintenance.check\` run more often`,
    }));
}
