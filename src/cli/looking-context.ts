import { openLocation } from "../job/locations.ts";
import type { PruneContext } from "../job/prune-stage.ts";
import type { Config } from "../policy/config.ts";
import type { Cli } from "./cli.ts";

/** For planning prunes: opens locations when they are asked for, and writes nothing, not even keys that a replica lacks. */
export function lookingContext(
  { clock, environment }: Pick<Cli, "clock" | "environment">,
  config: Config,
): PruneContext {
  const open = async (name: string, signal?: AbortSignal) =>
    await openLocation(config, name, { clock, environment, signal, readOnly: true });
  return { config: () => config, locations: { replica: open, location: open }, clock };
}
