/** Which records of locks (docs/format.md section 12) this host has put at a replica. In the state folder, whoever replicated. */
import * as z from "zod";
import { untilOf } from "../repository/locks/lock-record.ts";
import type { StateFolder } from "./state-folder.ts";

const schema = z.object({ version: z.literal(1), records: z.array(z.string()) });

export class LockRecords {
  readonly #state: StateFolder;
  readonly #location: string;

  constructor(state: StateFolder, location: string) {
    this.#state = state;
    this.#location = location;
  }

  /** The names of those that runs of these policies have put; none when the state folder was lost. */
  async read(policies: readonly string[]): Promise<ReadonlySet<string>> {
    return new Set((await Promise.all(policies.map(async (policy) => await this.#of(policy)))).flat());
  }

  /** Forgets those of which the locks end before those of the new ones: no run asks for them. Throws `storage_denied` or `storage_failed`. */
  async note(policy: string, names: readonly string[]): Promise<void> {
    const first = Math.min(...names.map(endOf));
    const lasting = (await this.#of(policy)).filter((name) => endOf(name) >= first);
    await this.#state.write(this.#fileOf(policy), { version: 1, records: [...lasting, ...names] });
  }

  async #of(policy: string): Promise<readonly string[]> {
    return (await this.#state.read(this.#fileOf(policy), schema))?.records ?? [];
  }

  /** One for each policy, so that nobody overwrites what another run has noted. */
  #fileOf(policy: string): string {
    return `locks/${policy}/${this.#location}.json`;
  }
}

function endOf(name: string): number {
  return untilOf(name) ?? 0;
}
