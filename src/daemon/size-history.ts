/** How large a repository was over time, kept in the state folder: the closer to now, the finer. */
import * as z from "zod";
import type { StateFolder } from "../job/state-folder.ts";
import { hour } from "../policy/units.ts";

const sample = z.object({
  /** In ms since the epoch. */
  time: z.number(),
  bytes: z.number(),
});

export type SizeSample = Readonly<z.output<typeof sample>>;

const schema = z.object({ version: z.literal(1), path: z.string(), samples: z.array(sample) });

/** The least time between two samples, in ms, and its part of their age: about 50 samples of the last two days, 260 of the last year. */
const closest = hour;
const partOfAge = 1 / 50;

export class SizeHistory {
  readonly #record: string;
  readonly #path: string;
  readonly #state: StateFolder;
  #samples: readonly SizeSample[] = [];
  #saved = 0;

  /** `path`: of the location, in words. What was noted of another one under the same name is worth nothing. */
  constructor(location: string, path: string, state: StateFolder) {
    this.#record = `sizes/${location}.json`;
    this.#path = path;
    this.#state = state;
  }

  /** Oldest first; the last one is the latest, however close to the one before. */
  get samples(): readonly SizeSample[] {
    return this.#samples;
  }

  /** Takes up what an earlier process noted. */
  async restore(): Promise<void> {
    const record = await this.#state.read(this.#record, schema);
    if (record?.path === this.#path) this.#samples = record.samples;
    this.#saved = this.#samples.length;
  }

  /** Notes the size at `time`. Written when the last one has come to stay: once an hour at most. Throws `storage_denied` or `storage_failed`. */
  async note(time: number, bytes: number): Promise<void> {
    this.#samples = thin([...this.#samples.filter((one) => one.time < time), { time, bytes }]);
    if (this.#samples.length === this.#saved) return;
    this.#saved = this.#samples.length;
    await this.#state.write(this.#record, { version: 1, path: this.#path, samples: this.#samples });
  }
}

/** `samples`, oldest first, without those that are too close together for their age. The first and the last one stay. */
export function thin(samples: readonly SizeSample[]): SizeSample[] {
  const now = samples.at(-1)?.time ?? 0;
  const kept: SizeSample[] = [];
  for (const one of samples.slice(0, -1)) {
    const before = kept.at(-1);
    const least = Math.max(closest, (now - one.time) * partOfAge);
    if (before === undefined || one.time - before.time >= least) kept.push(one);
  }
  return [...kept, ...samples.slice(-1)];
}
