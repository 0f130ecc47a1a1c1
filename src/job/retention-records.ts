/** By which keep rules each policy was pruned at each location, and which new ones someone has accepted. In the state folder. */
import * as z from "zod";
import { countedRules, periodRules } from "../policy/retention.ts";
import type { AppliedRules } from "../prune/guard-retention.ts";
import type { StateFolder } from "./state-folder.ts";

/** A policy at one location: `primary`, or the name of one of its replicas. */
export interface PrunePlace {
  readonly policy: string;
  readonly location: string;
}

/** Somebody's word that a change of the rules may forget what it does. */
export interface Acceptance {
  /** Of the rules accepted; no others. */
  readonly fingerprint: string;
  /** In ms since the epoch. */
  readonly time: number;
  readonly by: string;
}

const period = z.object({ years: z.int(), months: z.int(), days: z.int(), hours: z.int() });

const applied = z.object({
  version: z.literal(1),
  rules: z.object({
    keep: z.object({
      ...fields(countedRules, z.int().optional()),
      ...fields(periodRules, period.optional()),
      tags: z.array(z.array(z.string())).optional(),
    }),
    timezone: z.string(),
    unreplicated: z.object({ count: z.number(), age: z.number() }),
  }),
  sources: z.array(z.string()),
  at: z.string(),
  spent: z.record(z.string(), z.object({ since: z.number(), points: z.number() })),
  inherited: z.array(z.object({ source: z.string(), from: z.string(), since: z.number() })).default([]),
});

const acceptance = z.object({ fingerprint: z.string(), time: z.number(), by: z.string() });
const accepted = z.object({ version: z.literal(1), acceptance: acceptance.optional() });

function fields<const K extends string, T extends z.ZodType>(names: readonly K[], type: T): Record<K, T> {
  return Object.fromEntries(names.map((name) => [name, type])) as Record<K, T>;
}

export class RetentionRecords {
  readonly #state: StateFolder;

  constructor(state: StateFolder) {
    this.#state = state;
  }

  /** Undefined when there was none, the location was elsewhere then, or the state folder was lost. */
  async applied(place: PrunePlace, at: string): Promise<AppliedRules | undefined> {
    const record = await this.#state.read(fileOf(place, "applied"), applied);
    return record?.at === at ? record : undefined;
  }

  async accepted(place: PrunePlace): Promise<Acceptance | undefined> {
    return (await this.#state.read(fileOf(place, "accepted"), accepted))?.acceptance;
  }

  /** Throws `storage_denied` or `storage_failed`, as the others that write. */
  async accept(place: PrunePlace, given: Acceptance): Promise<void> {
    await this.#state.write(fileOf(place, "accepted"), { version: 1, acceptance: given });
  }

  /** What was accepted is done, or the rules are others by now. */
  async expire(place: PrunePlace): Promise<void> {
    await this.#state.write(fileOf(place, "accepted"), { version: 1 });
  }

  async apply(place: PrunePlace, rules: AppliedRules): Promise<void> {
    await this.#state.write(fileOf(place, "applied"), { version: 1, ...rules });
  }
}

/** One file for what prunes write, one for what people write: neither overwrites the other's. */
function fileOf({ policy, location }: PrunePlace, record: "applied" | "accepted"): string {
  return `retention/${policy}/${location}/${record}.json`;
}
