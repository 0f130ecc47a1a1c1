import { isBlocked } from "../job/retention-change.ts";
import type { Cli } from "./cli.ts";
import { count, formatTime } from "./format.ts";
import type { RetentionPlan } from "./plan-retention.ts";
import { printErrors } from "./print-job.ts";

/** What new rules would forget, point by point, for people. */
export function printRetention(cli: Cli, plans: readonly RetentionPlan[]): void {
  const { output } = cli;
  for (const { policy, location, sources, change, error } of plans) {
    if (error !== undefined) printErrors(output, `${policy} at ${location}`, [error]);
    for (const { source, points, forgotten } of sources) {
      const share = Math.round((forgotten.length / points) * 100);
      const lost = `${forgotten.length} of ${count(points, "recovery point")}`;
      output.print();
      output.print(
        `${output.style("bold", `${policy}: ${source} at ${location}`)}: ${lost} would be forgotten (${share} %)`,
      );
      for (const { id, time, kept } of forgotten) {
        const why = kept.length === 0 ? "by no rule" : kept.join(", ");
        output.print(`  ${id.slice(0, 8)}  of ${formatTime(time)} UTC, kept until now: ${why}`);
      }
    }
    if (change !== undefined && isBlocked(change)) {
      const going = change.excesses.find(({ goesOn }) => goesOn);
      const why =
        going === undefined
          ? `that is more than \`retention_guard\` (${Math.round(change.share * 100)} %)`
          : `${String(going.from)} goes on and isn't in this configuration`;
      output.print(`${output.style("red", "BLOCKED")}: ${policy} forgets nothing at ${location}, since ${why}.`);
    }
  }
  if (plans.some(({ change }) => change !== undefined && isBlocked(change))) {
    output.print("Once this configuration is in force, `stillpoint config accept` allows it.");
  }
}
