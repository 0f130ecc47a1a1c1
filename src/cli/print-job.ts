/** What a job came to, for people. */
import { cancelled } from "../host/cancel.ts";
import type { CaptureReport, ErrorReport, JobReport, PruneReport, ReplicaReport } from "../job/report.ts";
import type { Cli } from "./cli.ts";
import { count, formatAge, formatBytes } from "./format.ts";

export function printJob(cli: Cli, report: JobReport): void {
  for (const source of report.sources) printCapture(cli, source);
  for (const replica of report.replicas) printReplica(cli, replica);
  for (const prune of report.prune) printPrune(cli, prune);
}

function printCapture({ output }: Cli, { source, outcome, point, started, finished, errors }: CaptureReport): void {
  if (point !== undefined) {
    const { id, consistency, size, read, stored, leftOut } = point;
    const bytes = `${formatBytes(size)} protected, ${formatBytes(read)} read, ${formatBytes(stored)} stored`;
    output.print(`${source}: ${id.slice(0, 8)}, ${consistency}, ${bytes}, in ${formatAge(finished - started)}`);
    if (leftOut > 0)
      output.print(`${source}: ${count(leftOut, "file")} left out; \`stillpoint show ${id.slice(0, 8)}\` names them`);
  } else if (errors.length === 0) output.print(`${source}: ${outcome}`);
  printErrors(output, source, errors);
}

export function printReplica(
  { output }: Cli,
  { replica, outcome, points, bytesSent, backlog, errors }: ReplicaReport,
): void {
  if (outcome === "deferred") {
    output.print(`${replica}: an earlier run still sends there, and goes on with this one's`);
  } else if (outcome !== "failed") {
    const sent = points === 0 ? "up to date" : `${count(points, "recovery point")} sent, ${formatBytes(bytesSent)}`;
    const left = backlog === undefined || backlog.points === 0 ? "" : `; ${backlog.points} still to be sent`;
    output.print(`${replica}: ${sent}${left}`);
  }
  printErrors(output, replica, errors);
}

function printPrune({ output }: Cli, { location, outcome, forgotten, kept, givenUp, errors }: PruneReport): void {
  if (forgotten > 0) output.print(`${location}: ${count(forgotten, "recovery point")} forgotten, ${kept} kept`);
  if (givenUp > 0)
    output.print(
      `${location}: ${givenUp} of them never reached a replica: the policy's \`unreplicated\` limit was reached`,
    );
  if (outcome === "deferred")
    output.print(
      `${location}: the configuration has changed meanwhile; what else is to be forgotten is left to the next run`,
    );
  printErrors(output, location, errors);
}

/** What was cancelled hasn't failed; `endIfCancelled` says the rest. */
export function printErrors(output: Cli["output"], name: string, errors: readonly ErrorReport[]): void {
  for (const { code, message } of errors) {
    const what =
      code === "cancelled" ? output.style("yellow", "cancelled") : `${output.style("red", "FAILED")}: ${message}`;
    output.print(`${name}: ${what}`);
  }
}

/** Ends a verb that has reported on its parts as one without parts ends. Throws `cancelled` when one of the parts was. */
export function endIfCancelled(errors: readonly (ErrorReport | undefined)[]): void {
  if (errors.some((error) => error?.code === "cancelled")) throw cancelled();
}
