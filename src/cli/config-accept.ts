import { userInfo } from "node:os";
import { askAccept, askReload } from "../daemon/control-client.ts";
import { exitStatus } from "../errors.ts";
import { describeExcess, isBlocked, type RetentionChange } from "../job/retention-change.ts";
import { fingerprintOf } from "../prune/guard-retention.ts";
import type { Cli } from "./cli.ts";
import { findPolicy } from "../policy/find-named.ts";
import { planRetention } from "./plan-retention.ts";
import { printErrors } from "./print-job.ts";
import { type ConfigFlags, readConfig } from "./read-config.ts";

export interface AcceptFlags extends ConfigFlags {
  readonly json?: boolean;
}

/** Lets the next prunes do what they are blocked from, and nothing else. */
export async function acceptRetention(cli: Cli, name: string | undefined, flags: AcceptFlags): Promise<void> {
  const { clock, environment, output, signal } = cli;
  const config = await readConfig(flags, cli);
  // What is accepted is what the daemon goes by: it may not have seen the file yet, or may refuse it.
  await askReload(config.repository.state, { signal });
  const policies = name === undefined ? config.policies : [findPolicy(config, name)];
  const plans = await planRetention(cli, config, { policies, before: (_policy, _location, applied) => applied });
  const blocked = plans.flatMap(({ change }) => (change !== undefined && isBlocked(change) ? [change] : []));
  const failed = plans.filter(({ error }) => error !== undefined);
  const by = environment["SUDO_USER"] ?? userName();
  for (const { place, after, records } of blocked) {
    const fingerprint = fingerprintOf(after.rules);
    const told = await askAccept(config.repository.state, { ...place, fingerprint, by, signal });
    if (!told) await records.accept(place, { fingerprint, time: clock.now(), by });
  }
  if (failed.length > 0) cli.exit = blocked.length === 0 ? exitStatus.failed : exitStatus.partial;
  if (flags.json === true) {
    const errors = failed.map(({ policy, location, error }) => ({ policy, location, error }));
    return output.json({ accepted: blocked.map(describe), failed: errors });
  }
  if (blocked.length === 0 && failed.length === 0)
    output.print("There is nothing to accept: no prune is blocked by `retention_guard`.");
  for (const change of blocked) print(cli, change);
  for (const { policy, location, error } of failed) {
    if (error !== undefined) printErrors(output, `${policy} at ${location}`, [error]);
  }
  if (blocked.length > 0)
    output.print("It counts for these rules only. `stillpoint prune` does it now, the next run by itself.");
}

function describe({ place, excesses }: RetentionChange): object {
  const sources = excesses.map(({ source, from = null, points, forgotten }) => ({
    source,
    captured_by: from,
    points,
    forgotten,
  }));
  return { ...place, sources };
}

function print({ output }: Cli, { place, excesses }: RetentionChange): void {
  for (const excess of excesses)
    output.print(`Accepted: ${place.policy} may forget ${describeExcess(excess)} at ${place.location}.`);
}

/** For the record. */
function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return `user ${String(process.getuid?.())}`;
  }
}
