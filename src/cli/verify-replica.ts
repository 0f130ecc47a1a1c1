/** Reading again what a replica holds, a part of it by chance: `replicate --verify`. */
import { systemRandom } from "../host/random.ts";
import { Lines } from "../job/lines.ts";
import { openLocation } from "../job/locations.ts";
import { type ErrorReport, errorReport } from "../job/report.ts";
import { threadedExecutor } from "../job/threads.ts";
import type { Config } from "../policy/config.ts";
import { checkRepository, type CheckReport } from "../repository/check/check.ts";
import type { Cli } from "./cli.ts";
import { count, formatAge, formatBytes } from "./format.ts";
import { noteCheck } from "./note-check.ts";
import { printFindings } from "./print-findings.ts";
import { printErrors } from "./print-job.ts";
import type { Progress } from "./progress.ts";

export interface Verification {
  readonly report: CheckReport | undefined;
  /** Why there is no report. */
  readonly error: ErrorReport | undefined;
}

/**
 * Checks a replica as `check --read-data` does, and reads one of `parts` parts of its packs, chosen by chance: whoever alters
 * what is there can't know what the next one reads. What was read in full is recorded with each point, as that does.
 */
export async function verifyReplica(
  cli: Cli,
  config: Config,
  { replica, parts }: { readonly replica: string; readonly parts: number },
  progress: Progress,
): Promise<Verification> {
  const { clock, environment, signal } = cli;
  try {
    const lines = new Lines(() => config);
    const { repository } = await openLocation(config, replica, { clock, environment, signal, lines });
    const report = await checkRepository(repository, {
      executor: threadedExecutor,
      readData: { group: 1 + Math.floor(systemRandom.fraction() * parts), of: parts },
      replica: true,
      recordProofs: true,
      signal,
      onProgress: ({ bytes, totalBytes }) => progress.update(`reading ${replica}`, bytes, totalBytes),
    });
    await noteCheck(cli, config, replica, report);
    return { report, error: undefined };
  } catch (error) {
    return { report: undefined, error: errorReport(error) };
  }
}

export function printVerification(cli: Cli, replica: string, { report, error }: Verification): void {
  const { output } = cli;
  if (error !== undefined) printErrors(output, replica, [error]);
  if (report === undefined) return;
  const { findings, bytesRead, readData, points, seconds, proofs } = report;
  printFindings(cli, findings);
  const part = readData === undefined || readData.of === 1 ? "all that is there" : `one part of ${readData.of}`;
  const verdict = findings.length === 0 ? output.style("green", "no damage found") : count(findings.length, "finding");
  output.print(
    `${replica}: ${count(points, "recovery point")} checked, ${formatBytes(bytesRead)} (${part}) read again and verified, in ${formatAge(seconds * 1000)}: ${verdict}`,
  );
  if (proofs > 0) output.print(`${replica}: recorded with ${count(proofs, "recovery point")}`);
}
