import { askStatus } from "../daemon/control-client.ts";
import type { DaemonStatus } from "../daemon/control-protocol.ts";
import { StillpointError } from "../errors.ts";
import type { Cli, DefineVerb } from "./cli.ts";
import { describeReport } from "./describe-report.ts";
import type { Look } from "./look-here.ts";
import { addConfigOption } from "./open-location.ts";
import { type ConfigFlags, readConfig, readState } from "./read-config.ts";
import { ageOf, isMet, type StatusView } from "./status-facts.ts";
import { statusLines } from "./status-screen.ts";
import { watchStatus } from "./watch-status.ts";

interface Flags extends ConfigFlags {
  readonly watch?: boolean;
  readonly json?: boolean;
}

export const define: DefineVerb = (command, cli) => {
  addConfigOption(command)
    .option("-w, --watch", "keep showing it: the screen is redrawn each second, until q; elsewhere news are added")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Whether every objective is met and anything fails; for each policy, source and location the newest recovery point and
its age; what runs and how far it is; the next runs; the locations. Asks the daemon; without one it looks for itself.

Examples:
  stillpoint status
  stillpoint status --watch
  stillpoint status --json | jq '.points[] | select(.met == false)'`,
    )
    .action(async (flags: Flags) => await status(cli, flags));
};

async function status(cli: Cli, flags: Flags): Promise<void> {
  if (flags.watch === true && flags.json === true) {
    throw new StillpointError("usage", {
      what: "Cannot use --watch together with --json",
      next: "Leave one of them out; a program can ask for `stillpoint status --json` as often as it likes.",
    });
  }
  const look = makeLook(cli, flags);
  if (flags.watch === true) return await watchStatus(cli, look);
  const view = await look();
  if (flags.json === true) cli.output.json(describe(view));
  else for (const line of statusLines(view, cli.output)) cli.output.print(line);
}

/** Without a daemon every location has to be read: not more often than that, in ms. */
const ownLookInterval = 30_000;

function makeLook(cli: Cli, flags: Flags): () => Promise<StatusView> {
  let own: { readonly look: Look; readonly at: number } | undefined;
  return async () => {
    const { clock, signal } = cli;
    // Not by the whole configuration: whoever has just made a mistake in it has to see what the daemon goes on with.
    const state = await readState(flags, cli);
    const daemon = state === undefined ? undefined : await askStatus(state, { signal });
    if (daemon !== undefined) return { daemon, look: daemon, now: clock.now() };
    if (own === undefined || clock.monotonic() - own.at >= ownLookInterval) {
      const config = await readConfig(flags, cli);
      const { lookHere } = await import("./look-here.ts");
      own = { look: await lookHere(cli, config), at: clock.monotonic() };
    }
    return { daemon, look: own.look, now: clock.now() };
  };
}

function describe({ look: { points, locations }, daemon, now }: StatusView): object {
  return {
    daemon: daemon === undefined ? null : describeReport(withoutLists(daemon)),
    points: points.map((point) => ({
      ...(describeReport({ ...point, objective: undefined }) as object),
      verified: point.verified === undefined ? null : new Date(point.verified).toISOString(),
      objective: point.objective === undefined ? null : point.objective / 1000,
      age: secondsOf(ageOf(point, now)),
      met: isMet(point, now) ?? null,
    })),
    work: describeReport(daemon?.work ?? []),
    failures: describeReport(daemon?.failures ?? []),
    policies: describeReport(daemon?.policies ?? []),
    locations: describeReport(locations),
    notifications: describeReport(daemon?.notifications ?? []),
  };
}

function withoutLists(daemon: DaemonStatus): object {
  const { version, host, pid, now, started, address, config, notReady, maintenance } = daemon;
  return { version, host, pid, now, started, address, config, notReady, maintenance };
}

function secondsOf(ms: number | undefined): number | null {
  return ms === undefined ? null : Math.floor(ms / 1000);
}
