import { describeError } from "../errors.ts";
import { CheckRecords } from "../job/check-records.ts";
import { StateFolder } from "../job/state-folder.ts";
import type { Config } from "../policy/config.ts";
import type { CheckReport } from "../repository/check/check.ts";
import type { Cli } from "./cli.ts";

/** Lets the daemon count a check of one of its locations that a person has made. Where that can't be noted, it is said: the check was made all the same. */
export async function noteCheck(
  { clock, output }: Pick<Cli, "clock" | "output">,
  config: Config,
  location: string,
  { findings: { length: findings }, foundByReading, readData: read }: CheckReport,
): Promise<void> {
  const records = new CheckRecords(new StateFolder(config.repository.state));
  await records.note(location, { time: clock.now(), findings, foundByReading, read }).catch((error: unknown) => {
    output.note(`stillpoint: the daemon won't count this check. ${describeError(error)}`);
  });
}
