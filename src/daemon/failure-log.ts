/** The last failures with their full text, kept in the state folder: what to look at when something is, or was, wrong. */
import * as z from "zod";
import type { ErrorReport, JobReport } from "../job/report.ts";
import type { StateFolder } from "../job/state-folder.ts";

/** Work that failed, once or several times in a row. Times in ms since the epoch. */
const failure = z.object({
  stage: z.enum(["capture", "replication", "prune", "sweep", "check"]),
  /** Of a capture, a replication or a prune. */
  policy: z.string().optional(),
  /** Of a capture. */
  source: z.string().optional(),
  /** Of everything else. */
  location: z.string().optional(),
  /** What the last of them said. */
  errors: z.array(z.object({ code: z.string(), message: z.string() })),
  /** When the first and the last of them ended, and how many there were. */
  first: z.number(),
  last: z.number(),
  count: z.number(),
  /** When it went well again; undefined while it doesn't. */
  over: z.number().optional(),
});

export type Failure = Readonly<z.output<typeof failure>>;

const schema = z.object({ version: z.literal(1), failures: z.array(failure) });
const record = "failure-log.json";

type Work = Pick<Failure, "stage" | "policy" | "source" | "location">;

/** What became of some work. */
export type Ended = Work & {
  readonly finished: number;
  /** Empty when it went well. */
  readonly errors: readonly ErrorReport[];
};

/** So many failures are remembered, with so many errors each, of so many characters each. */
const mostFailures = 40;
const mostErrors = 5;
const longestMessage = 4000;

export class FailureLog {
  readonly #state: StateFolder;
  #failures: readonly Failure[] = [];

  constructor(state: StateFolder) {
    this.#state = state;
  }

  /** Takes up what an earlier process noted. */
  async load(): Promise<void> {
    this.#failures = (await this.#state.read(record, schema))?.failures ?? [];
  }

  /** Newest first. */
  get failures(): readonly Failure[] {
    return this.#failures;
  }

  /** Throws `storage_denied` or `storage_failed`; what is known in this process is right then too. */
  async note(...ended: readonly Ended[]): Promise<void> {
    const before = this.#failures;
    this.#failures = ended.reduce(noteFailure, before);
    if (this.#failures !== before) await this.#state.write(record, { version: 1, failures: this.#failures });
  }
}

/** What became of each stage of a job. What was left to an earlier replication, or to the next run, isn't known yet. */
export function endedIn({ policy, sources, replicas, prune }: JobReport): Ended[] {
  return [
    ...sources.map((one): Ended => ({ ...one, stage: "capture", policy })),
    ...replicas
      .filter(({ outcome }) => outcome !== "deferred")
      .map((one): Ended => ({ ...one, stage: "replication", policy, location: one.replica })),
    ...prune.filter(({ outcome }) => outcome !== "deferred").map((one): Ended => ({ ...one, stage: "prune", policy })),
  ];
}

/** `log`, newest first, and what has ended now. The same log when that is no news. What was merely cancelled is none. */
export function noteFailure(log: readonly Failure[], ended: Ended): readonly Failure[] {
  const { stage, policy, source, location, finished, errors } = ended;
  const wrong = errors.filter(({ code }) => code !== "cancelled");
  if (wrong.length === 0 && errors.length > 0) return log;
  const before = log.find((one) => one.over === undefined && sameWork(one, ended));
  if (before === undefined && wrong.length === 0) return log;
  const others = log.filter((one) => one !== before);
  if (wrong.length === 0 && before !== undefined) return trim([{ ...before, over: finished }, ...others]);
  const now: Failure = {
    stage,
    policy,
    source,
    location,
    errors: wrong
      .slice(0, mostErrors)
      .map(({ code, message }) => ({ code, message: message.slice(0, longestMessage) })),
    first: before?.first ?? finished,
    last: finished,
    count: (before?.count ?? 0) + 1,
  };
  return trim([now, ...others]);
}

function sameWork(a: Work, b: Work): boolean {
  return a.stage === b.stage && a.policy === b.policy && a.source === b.source && a.location === b.location;
}

/** What goes on is kept before what is over. */
function trim(log: readonly Failure[]): readonly Failure[] {
  const latest = log.toSorted((a, b) => b.last - a.last);
  const current = latest.filter(({ over }) => over === undefined).slice(0, mostFailures);
  const past = latest.filter(({ over }) => over !== undefined).slice(0, mostFailures - current.length);
  return [...current, ...past].toSorted((a, b) => b.last - a.last);
}
