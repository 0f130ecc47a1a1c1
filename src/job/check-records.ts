/** What the last check by hand of each location has found, for the daemon, which counts it. In the state folder. */
import * as z from "zod";
import type { ReadData } from "../repository/check/packs.ts";
import type { StateFolder } from "./state-folder.ts";

/** A check that has ended, whatever it found. */
export interface EndedCheck {
  /** When, in ms since the epoch. */
  readonly time: number;
  readonly findings: number;
  /** How many of them only reading shows. */
  readonly foundByReading: number;
  /** Which part of the stored bytes it read; undefined when none. */
  readonly read?: ReadData | undefined;
}

const schema = z.object({
  version: z.literal(1),
  time: z.number(),
  findings: z.int().min(0),
  foundByReading: z.int().min(0).default(0),
  read: z.object({ group: z.int().min(1), of: z.int().min(1) }).optional(),
});

export class CheckRecords {
  readonly #state: StateFolder;

  constructor(state: StateFolder) {
    this.#state = state;
  }

  /** Undefined when nobody has checked there by hand, or the state folder was lost. */
  async read(location: string): Promise<EndedCheck | undefined> {
    return await this.#state.read(fileOf(location), schema);
  }

  /** Throws `storage_denied` or `storage_failed`. */
  async note(location: string, check: EndedCheck): Promise<void> {
    await this.#state.write(fileOf(location), { version: 1, ...check });
  }
}

function fileOf(location: string): string {
  return `checks/${location}.json`;
}
