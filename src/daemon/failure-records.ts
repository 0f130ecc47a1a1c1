/** How often captures, replications and prunes have failed in a row, kept in the state folder: a restart mends nothing. */
import * as z from "zod";
import type { JobReport, ReplicaReport } from "../job/report.ts";
import { type SignOfOthers, signsOfOthers } from "../job/signs-of-others.ts";
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

/** That somebody else is at work at a replica. Times in ms since the epoch. */
const sign = z.object({
  /** When it was seen first, and last, by replications in a row. */
  since: z.number(),
  last: z.number(),
  /** Whether the last replication that looked saw it, too. */
  lasts: z.boolean(),
  /** What the last that saw it said. */
  message: z.string(),
});

const schema = z.object({
  version: z.literal(1),
  captures: byPolicy,
  replications: byPolicy.default({}),
  prunes: byPolicy,
  /** By policy, replica and code. */
  signs: z.record(z.string(), z.record(z.string(), z.record(z.string(), sign))).default({}),
});

type Records = z.output<typeof schema>;
export type Failures = Readonly<z.output<typeof failures>>;
export type Sign = Readonly<z.output<typeof sign>>;

const record = "failures.json";

/** What is told of a stage: part of a capture's report, or of a prune's. */
interface Ended {
  readonly outcome: string;
  readonly finished: number;
  readonly errors: readonly { readonly code: string; readonly message: string }[];
}

export class FailureRecords {
  readonly #state: StateFolder;
  #records: Records = { version: 1, captures: {}, replications: {}, prunes: {}, signs: {} };

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

  /**
   * Replications of the policy to the replica that failed in a row: for whatever they could not do there, also because it could not be
   * reached. Signs of others are another matter, and so is what could not be locked.
   */
  replications(policy: string, replica: string): Failures {
    return this.#records.replications[policy]?.[replica] ?? none;
  }

  /** The last sign that somebody else is at work at the replica, also when it is over: deleted points are seen once. */
  sign(policy: string, replica: string, code: SignOfOthers): Sign | undefined {
    return this.#records.signs[policy]?.[replica]?.[code];
  }

  /** When the last of all such signs was seen. */
  interference(policy: string, replica: string): number | undefined {
    const seen = signsOfOthers.flatMap((code) => this.sign(policy, replica, code)?.last ?? []);
    return seen.length === 0 ? undefined : Math.max(...seen);
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
    const signs = (this.#records.signs[policy] ??= {});
    // A replication that was left to an earlier one, still at work, says nothing; nor does a prune that was left to the next run.
    const sent = replicas.filter(({ outcome }) => outcome !== "deferred");
    const pruned = prune.filter(({ outcome }) => outcome !== "deferred");
    const news = [
      ...sources.map((ended) => tally(captures, ended.source, ended, ["cancelled"])),
      ...sent.map((ended) => tally(replications, ended.replica, withoutApart(ended), ["cancelled"])),
      ...sent.flatMap((ended) => signsOfOthers.map((code) => noteSign((signs[ended.replica] ??= {}), code, ended))),
      ...pruned.map((ended) => tally(prunes, ended.location, ended, ["cancelled", "storage_unreachable"])),
    ];
    if (news.includes(true)) await this.#state.write(record, this.#records);
  }
}

/** What is told apart from failures, so that neither hides the other. */
const apart: ReadonlySet<string> = new Set([...signsOfOthers, "lock_incomplete"]);

/** What it could not do is a failure, whatever else came through. */
function withoutApart({ outcome, finished, errors }: ReplicaReport): Ended {
  const own = errors.filter(({ code }) => !apart.has(code));
  return { outcome: own.length > 0 ? "failed" : outcome, finished, errors: own };
}

/** Returns whether that is news. */
function noteSign(
  signs: Record<string, Sign>,
  code: SignOfOthers,
  { outcome, finished, errors }: ReplicaReport,
): boolean {
  const before = signs[code];
  const seen = errors.filter((error) => error.code === code);
  if (seen.length > 0) {
    // Each deletion is one of its own; who writes there goes on doing so.
    const since = before?.lasts === true && code === "replica_shared" ? before.since : finished;
    signs[code] = { since, last: finished, lasts: true, message: seen.map(({ message }) => message).join(" ") };
    return true;
  }
  // One that failed may not have looked.
  if (before?.lasts !== true || outcome === "failed") return false;
  signs[code] = { ...before, lasts: false };
  return true;
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
