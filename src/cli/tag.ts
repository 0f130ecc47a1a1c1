import { StillpointError } from "../errors.ts";
import { tag as tagSchema } from "../policy/fields.ts";
import type { CatalogPoint } from "../repository/points/catalog.ts";
import { putSmallObject } from "../repository/points/small-objects.ts";
import type { Cli, DefineVerb } from "./cli.ts";
import { loadPoint, pointHelp } from "./find-points.ts";
import { addLocationOptions, type LocationFlags, openLocation } from "./open-location.ts";

interface Flags extends LocationFlags {
  readonly remove: readonly string[];
  readonly source?: string;
  readonly json?: boolean;
}

export const define: DefineVerb = (command, cli) => {
  addLocationOptions(command.argument("<id>", pointHelp).argument("[tags...]", "tags to add"))
    .option(
      "--remove <tag>",
      "a tag to remove; may be given several times",
      (one: string, list: string[]) => [...list, one],
      [],
    )
    .option("--source <name>", "with `latest` or a time: of which source")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Keep rules can name tags. Tags of the primary reach the replicas with the next replication.

Examples:
  stillpoint tag latest --source etc before-upgrade
  stillpoint tag 3f5a91c2 quarter=3 --remove draft`,
    )
    .action(async (id: string, tags: string[], flags: Flags) => await tag(cli, id, tags, flags));
};

async function tag(cli: Cli, id: string, added: readonly string[], flags: Flags): Promise<void> {
  checkTags(added, flags.remove);
  const { repository } = await openLocation(cli, flags, { write: true });
  const point = await loadPoint(cli, repository, id, { ...flags, allRead: true });
  const tags = changed(point, added, flags.remove);
  if (tags.join() !== point.tags.join()) {
    const time = new Date(cli.clock.now()).toISOString();
    await putSmallObject(repository, "tags", { version: 1, point: point.id, time, tags }, { signal: cli.signal });
  }
  if (flags.json === true) return cli.output.json({ id: point.id, tags });
  cli.output.print(tags.length === 0 ? `${point.id} has no tags` : `${point.id} has the tags ${tags.join(", ")}`);
}

function changed(point: CatalogPoint, added: readonly string[], removed: readonly string[]): string[] {
  return [...new Set([...point.tags, ...added])].filter((one) => !removed.includes(one));
}

function checkTags(added: readonly string[], removed: readonly string[]): void {
  if (added.length + removed.length === 0) {
    throw new StillpointError("usage", {
      what: "Cannot change tags: none is given",
      next: "Give tags to add, or --remove TAG. `stillpoint show ID` shows those that a point has.",
    });
  }
  for (const one of added) {
    const { error } = tagSchema.safeParse(one);
    if (error === undefined) continue;
    const reason = error.issues[0]?.message ?? "it isn't a tag";
    throw new StillpointError("usage", {
      what: `Cannot add the tag ${JSON.stringify(one)}: ${reason}`,
      safe: "Nothing was changed.",
    });
  }
}
