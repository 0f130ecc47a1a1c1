import { StillpointError } from "../errors.ts";
import type { Replica } from "../policy/config.ts";

/** The error, with what can be done where this host may only add: neither its prune nor its sweep would free anything there. */
export function freedElsewhere(error: StillpointError, { name, appendOnly }: Replica): StillpointError {
  if (!appendOnly || error.code !== "storage_full") return error;
  return new StillpointError(error.code, {
    ...error.parts,
    next: `Free or add some space there. This host may only add to ${name}: \`stillpoint prune\` and \`stillpoint sweep\` give some back where they are run with rights to delete there (docs/offsite.md).`,
    cause: error,
  });
}
