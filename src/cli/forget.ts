import { StillpointError } from "../errors.ts";
import { lockedPoints } from "../repository/locks/pins.ts";
import { forgetPoint, loadCatalog } from "../repository/points/catalog.ts";
import type { Cli, DefineVerb } from "./cli.ts";
import { choosePoint } from "./find-points.ts";
import { formatTime, printable } from "./format.ts";
import { endOfMoment } from "./parse-moment.ts";
import { addLocationOptions, type LocationFlags, openLocation } from "./open-location.ts";

interface Flags extends LocationFlags {
  readonly json?: boolean;
}

export const define: DefineVerb = (command, cli) => {
  addLocationOptions(command.argument("<ids...>", "ids, or their beginnings"))
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Deletes recovery points of one location; the same points elsewhere stay. No other point is touched, whichever
is deleted. Their space is freed by the sweeps that follow, not at once. A held point must be released first.

Examples:
  stillpoint forget 3f5a91c2
  stillpoint forget 3f5a91c2 77d0b4e1 --location usb`,
    )
    .action(async (ids: string[], flags: Flags) => await forget(cli, ids, flags));
};

async function forget(cli: Cli, ids: readonly string[], flags: Flags): Promise<void> {
  const { name, repository } = await openLocation(cli, flags, { write: true });
  const { points } = await loadCatalog(repository, { signal: cli.signal });
  // All are found before the first is deleted, so that a mistyped one stops it all.
  const chosen = new Set(ids.map((id) => choosePoint(cli, points, refuseTimes(id))));
  const locked = await lockedPoints(repository, { signal: cli.signal });
  for (const { id } of chosen) refuseLocked(id, name, locked.get(id));
  for (const point of chosen) {
    await forgetPoint(repository, point, "by hand", { signal: cli.signal });
    const { source } = point.manifest;
    if (flags.json !== true) {
      cli.output.print(`Forgot ${point.id}: ${printable(source)} of ${formatTime(point.time)} UTC, at ${name}`);
    }
  }
  if (flags.json === true) cli.output.json({ location: name, forgotten: [...chosen].map(({ id }) => id) });
}

function refuseLocked(id: string, location: string, until: number | undefined): void {
  if (until === undefined) return;
  throw new StillpointError("usage", {
    what: `Cannot forget ${id}: it is locked at ${location} until ${formatTime(until)} UTC`,
    safe: "Nothing was deleted.",
    next: "Wait until then; without a rule that keeps it, its lock isn't renewed.",
  });
}

/** Deleting is for points that were looked at. */
function refuseTimes(id: string): string {
  if (id !== "latest" && endOfMoment(id) === undefined) return id;
  throw new StillpointError("usage", {
    what: `Cannot forget ${id}: another run may have made a newer point meanwhile`,
    safe: "Nothing was deleted.",
    next: "Give the id; `stillpoint list` shows it.",
  });
}
