/** How often captures, replications and prunes have failed in a row, kept in the state folder: a restart mends nothing. */
import * as z from "zod";
import type { JobReport } from "../job/report.ts";
import type { StateFolder } from "../job/state-folder.ts";

const failures = z.object({
  count: z.number(),
  /** When the last of them ended, in ms since the epoch. */
  last: z.number(),
  /** What the last of them said. */
  message: z.string().optional(),
});

/** By policy, then by source or location. */
const byPolicy = z.record(z.string(), z.record(z.string(), failures));

const schema = z.object({
  version: z.literal(1),
  captures: byPolicy,
  replications: byPolicy.default({}),
  prunes: byPolicy,
});

type Records = z.output<typeof schema>;
export type Failures = Readonly<z.output<typeof failures>>;

const record = "failures.json";

/** What is told of a stage: part of a capture's report, or of a prune's. */
interface Ended {
  readonly outcome: string;
  readonly finished: number;
  readonly errors: readonly { readonly code: string; readonly message: string }[];
}

export class FailureRecords {
  readonly #state: StateFolder;
  #records: Records = { version: 1, captures: {}, replications: {}, prunes: {} };

  constructor(state: StateFolder) {
    this.#state = state;
  }

  /** Takes up what an earlier process noted. */
  async load(): Promise<void> {
    this.#records = (await this.#state.read(record, schema)) ?? this.#records;
  }

  /**
   * Captures of the source by the policy that failed in a row. `newest` is the instant of its newest recovery point: one
   * made since by somebody else (`stillpoint run`, while no daemon ran) ends the row too.
   */
  captures(policy: string, source: string, newest: number | undefined): Failures {
    const row = this.#records.captures[policy]?.[source] ?? none;
    return newest !== undefined && newest > row.last ? none : row;
  }

  /** Replications of the policy to the replica that failed in a row, also because it could not be reached. */
  replications(policy: string, replica: string): Failures {
    return this.#records.replications[policy]?.[replica] ?? none;
  }

  /** Prunes of the policy at the location that failed in a row; a location that was away is another matter. */
  prunes(policy: string, location: string): Failures {
    return this.#records.prunes[policy]?.[location] ?? none;
  }

  /** Notes what a job came to. Throws `storage_denied` or `storage_failed`; what is known in this process is right then too. */
  async note({
    policy,
    sources,
    replicas,
    prune,
  }: Pick<JobReport, "policy" | "sources" | "replicas" | "prune">): Promise<void> {
    const captures = (this.#records.captures[policy] ??= {});
    const replications = (this.#records.replications[policy] ??= {});
    const prunes = (this.#records.prunes[policy] ??= {});
    // A replication that was left to an earlier one, still at work, says nothing.
    const sent = replicas.filter(({ outcome }) => outcome !== "deferred");
    const news = [
      ...sources.map((ended) => tally(captures, ended.source, ended, ["cancelled"])),
      ...sent.map((ended) => tally(replications, ended.replica, ended, ["cancelled"])),
      ...prune.map((ended) => tally(prunes, ended.location, ended, ["cancelled", "storage_unreachable"])),
    ];
    if (news.includes(true)) await this.#state.write(record, this.#records);
  }
}

const none: Failures = { count: 0, last: 0 };

/** Returns whether that is news. What ended for one of the reasons in `excused`, and no other, neither counts nor ends the row. */
function tally(
  records: Record<string, Failures>,
  name: string,
  { outcome, finished, errors }: Ended,
  excused: readonly string[],
): boolean {
  const before = records[name];
  if (outcome !== "failed") delete records[name];
  else if (errors.length === 0 || errors.some(({ code }) => !excused.includes(code))) {
    const message = errors[0]?.message;
    records[name] = { count: (before ?? none).count + 1, last: finished, ...(message !== undefined && { message }) };
  }
  return records[name] !== before;
}
