import { describeError, exitStatus, isStillpointError, type StillpointError, toError } from "../errors.ts";
import { primaryName } from "../job/locations.ts";
import { exists, type Repository } from "../repository/repository.ts";
import type { Cli, DefineVerb } from "./cli.ts";
import { loadPoint, pointHelp } from "./find-points.ts";
import { addLocationOptions, type LocationFlags, type OpenedLocation, openLocation } from "./open-location.ts";

interface Flags extends LocationFlags {
  readonly source?: string;
  readonly json?: boolean;
}

interface Failure {
  readonly location: string;
  readonly error: StillpointError;
}

interface Released {
  readonly id: string;
  /** The locations where it was held. */
  readonly released: readonly string[];
  readonly failed: readonly Failure[];
}

export const define: DefineVerb = (command, cli) => {
  addLocationOptions(command.argument("<id>", pointHelp))
    .option("--source <name>", "with `latest` or a time: of which source")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
The rules decide about the point again: at the primary and at every replica, or with --location there alone.
A replica that can't be reached keeps it held; then the exit status is 3, and the same command can be given again.

Examples:
  stillpoint release 3f5a91c2
  stillpoint release 3f5a91c2 --location usb`,
    )
    .action(async (id: string, flags: Flags) => {
      await release(cli, id, flags, command.getOptionValueSource("location") === "default");
    });
};

async function release(cli: Cli, text: string, flags: Flags, everywhere: boolean): Promise<void> {
  const opened = await openLocation(cli, flags, { write: true });
  const released: string[] = [];
  const failed: Failure[] = [];
  let id: string | undefined;
  for (const location of [opened.name, ...(everywhere ? replicasOf(opened) : [])]) {
    try {
      const { repository } =
        location === opened.name ? opened : await openLocation(cli, { ...flags, location }, { write: true });
      // Where the primary hasn't the point any more, a replica knows it.
      id ??= (await loadPoint(cli, repository, text, flags)).id;
      if (await releaseAt(cli, repository, id)) released.push(location);
    } catch (error) {
      if (!isStillpointError(error) || error.code === "cancelled" || error.code === "usage") throw error;
      failed.push({ location, error });
    }
  }
  if (id === undefined) throw toError(failed[0]?.error);
  const unreached = failed.filter(({ error }) => error.code !== "not_found");
  if (unreached.length > 0) cli.exit = exitStatus.partial;
  report(cli, flags, { id, released, failed: unreached });
}

function report({ output }: Cli, flags: Flags, { id, released, failed }: Released): void {
  const errors = failed.map(({ location, error }) => ({ location, error: describeError(error) }));
  if (flags.json === true) return output.json({ id, held: failed.length > 0, released, failed: errors });
  if (released.length > 0) output.print(`${id} is released at ${released.join(", ")}`);
  else if (failed.length === 0) output.print(`${id} isn't held`);
  for (const { location, error } of errors) output.print(`failed  ${id} may still be held at ${location}: ${error}`);
}

/** Returns whether the point was held there. */
async function releaseAt({ signal }: Cli, { storage }: Repository, point: string): Promise<boolean> {
  const hold = `holds/${point}`;
  // Asked for by its name: the catalog lacks one that is damaged, and that one holds, too.
  const held = await exists(storage, hold, { signal });
  if (held) await storage.delete(hold, { signal });
  return held;
}

/** None of a repository that was named by its path. */
function replicasOf({ config, name }: OpenedLocation): string[] {
  return name === primaryName ? (config?.replicas.map((replica) => replica.name) ?? []) : [];
}
