/** The records of sweeps, as a writer sees them: what it must not rely on, and for how long it may rely on the rest (docs/format.md section 11). */
import { isStillpointError } from "../../errors.ts";
import { stopwatch } from "../../host/clock.ts";
import type { CallOptions } from "../../storage/storage.ts";
import { longestLargeObject, requireLength } from "../format.ts";
import { getSmallObject, type SweepRecord } from "../points/small-objects.ts";
import type { Repository } from "../repository.ts";
import { type OpenIndexesOptions, reporting } from "./open-indexes.ts";

const hour = 3_600_000;
/** In ms. For that long a look at the records is as good as a new one: far shorter than any grace period, and longer than a usual increment takes. */
const lookLasts = 60_000;
/** A sweep deletes records and replaces index objects now and then; reading that it overtook begins anew, that often. */
const mostAttempts = 5;

export class SweepsSeen {
  /** As they were when the writer began, by object name. */
  readonly records: ReadonlyMap<string, SweepRecord>;
  readonly #repository: Repository;
  /** In ms, since the writer began. */
  readonly #age: () => number;
  /** Those written since. */
  readonly #later = new Map<string, SweepRecord>();
  #sinceLook: () => number;

  private constructor(repository: Repository, records: ReadonlyMap<string, SweepRecord>, age: () => number) {
    this.#repository = repository;
    this.records = records;
    this.#age = age;
    this.#sinceLook = age;
  }

  static async begin(repository: Repository, options: OpenIndexesOptions): Promise<SweepsSeen> {
    const age = stopwatch(repository.clock);
    return new SweepsSeen(repository, await readSweeps(repository, new Map(), options), age);
  }

  get age(): number {
    return this.#age();
  }

  /**
   * How old a writer may be, in ms, when it commits what relies on what it saw at its beginning. Who sweeps there may be another machine,
   * with a shorter grace period than this one's: a record written since says so.
   *
   * @param grace this machine's own, in ms
   */
  async longestReliance(grace: number, options: CallOptions): Promise<number> {
    if (this.#sinceLook() >= lookLasts) await unlessOvertaken(async () => await this.#look(options));
    return longestReliance([grace, ...[...this.#later.values()].map((record) => record.grace)]);
  }

  async #look(options: CallOptions): Promise<void> {
    const sinceLook = stopwatch(this.#repository.clock);
    const known = new Map([...this.records, ...this.#later]);
    for (const [name, record] of await readSweeps(this.#repository, known, options)) this.#later.set(name, record);
    this.#sinceLook = sinceLook;
  }
}

/** For how long what was seen may be relied on, in ms, where sweeps have these grace periods. */
export function longestReliance(graces: readonly number[]): number {
  const shortest = Math.min(...graces);
  return shortest - Math.min(hour, shortest / 2);
}

/** Does it again when a sweep deletes an object that it has just seen listed. */
export async function unlessOvertaken<T>(read: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await read();
    } catch (error) {
      if (!isStillpointError(error, "object_missing") || attempt === mostAttempts) throw error;
    }
  }
}

/** Those that aren't known, by object name. */
async function readSweeps(
  repository: Repository,
  known: ReadonlyMap<string, SweepRecord>,
  options: OpenIndexesOptions,
): Promise<Map<string, SweepRecord>> {
  const reported = reporting(options);
  const records = new Map<string, SweepRecord>();
  for await (const object of repository.storage.list("sweeps/", options)) {
    const { name } = object;
    if (known.has(name)) continue;
    const record = await reported(name, async () => {
      requireLength(object, longestLargeObject);
      return await getSmallObject(repository, "sweeps", name, options);
    });
    if (record !== undefined) records.set(name, record);
  }
  return records;
}
