/** How many points of each policy the last replication to each replica could not lock. In the state folder, whoever replicated. */
import * as z from "zod";
import type { StateFolder } from "./state-folder.ts";

/** A policy at one of its replicas. */
interface Place {
  readonly policy: string;
  readonly location: string;
}

const schema = z.object({ version: z.literal(1), points: z.int().min(0) });

export class UnlockedRecords {
  readonly #state: StateFolder;

  constructor(state: StateFolder) {
    this.#state = state;
  }

  /** Undefined when no replication knew it yet, or the state folder was lost. */
  async read(place: Place): Promise<number | undefined> {
    return (await this.#state.read(fileOf(place), schema))?.points;
  }

  /** Writes only what is news. Throws `storage_denied` or `storage_failed`. */
  async note(place: Place, points: number): Promise<void> {
    if ((await this.read(place)) !== points) await this.#state.write(fileOf(place), { version: 1, points });
  }
}

/** One for each, so that nobody overwrites what another process has noted. */
function fileOf({ policy, location }: Place): string {
  return `unlocked/${policy}/${location}.json`;
}
