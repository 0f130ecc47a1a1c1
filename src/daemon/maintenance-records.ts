/** When maintenance was done last, kept in the state folder. */
import * as z from "zod";
import type { EndedCheck } from "../job/check-records.ts";
import type { StateFolder } from "../job/state-folder.ts";
import type { ReadData } from "../repository/check/packs.ts";

export type Task = "sweep" | "check";

/** A part of the stored bytes in which reading has found damage, the last time that it was read. */
const damagedPart = z.object({ group: z.number(), of: z.number(), findings: z.number() });

const atLocation = z.object({
  /** When the last sweep, and the last check without findings, ended. */
  lastSweep: z.number().optional(),
  /** How many sweeps have failed since the last one. */
  sweepFailures: z.number().optional(),
  /** What the last of them said. */
  sweepError: z.string().optional(),
  lastCheck: z.number().optional(),
  /** When the last check ended, whatever it found. */
  checkEnded: z.number().optional(),
  /** The damage that is known: what the last check saw without reading, and that in `damaged`. */
  findings: z.number().optional(),
  damaged: z.array(damagedPart).optional(),
  /** How many checks could not be done since then, and what the last of them said. */
  checkFailures: z.number().optional(),
  checkError: z.string().optional(),
  /** Which of the parts that are read in turn was read last. */
  part: z.number().optional(),
  /** When each of the parts was read last, or for one that wasn't yet, since when the location is known. */
  partsRead: z.array(z.number()).optional(),
});

const schema = z.object({
  version: z.literal(1),
  started: z.object({ sweep: z.number().optional(), check: z.number().optional() }),
  locations: z.record(z.string(), atLocation),
});

type Records = z.output<typeof schema>;
export type LocationRecord = Readonly<z.output<typeof atLocation>>;

const record = "maintenance.json";

export class MaintenanceRecords {
  readonly #state: StateFolder;
  #records: Records = { version: 1, started: {}, locations: {} };

  constructor(state: StateFolder) {
    this.#state = state;
  }

  /** On a new host everything counts as done `now`: there is nothing yet to sweep or to check. */
  async load(now: number): Promise<void> {
    this.#records = (await this.#state.read(record, schema)) ?? this.#records;
    const { sweep = now, check = now } = this.#records.started;
    this.#records.started = { sweep, check };
    await this.#save();
  }

  started(task: Task): number | undefined {
    return this.#records.started[task];
  }

  at(location: string): LocationRecord {
    return this.#records.locations[location] ?? {};
  }

  /** Whether damage is known. */
  isDamaged(location: string): boolean {
    return (this.at(location).findings ?? 0) > 0;
  }

  /** The part, of `of`, after the one that was read last. */
  nextRead(location: string, of: number | undefined): ReadData | undefined {
    const { part = 0 } = this.at(location);
    return of === undefined ? undefined : { group: (part % of) + 1, of };
  }

  /** What checks that look again whether damage is mended are to read: each part in which there was some. What was seen without reading, any sees. */
  damagedReads(location: string): readonly (ReadData | undefined)[] {
    const { damaged = [] } = this.at(location);
    return damaged.length === 0 ? [undefined] : damaged.map(({ group, of }) => ({ group, of }));
  }

  /** Since when every stored byte has been read by checks, at once or in parts; of a new location, since when it is known. */
  allRead(location: string): number | undefined {
    const { partsRead } = this.at(location);
    return partsRead === undefined ? undefined : Math.min(...partsRead);
  }

  /** Begins to count for locations that are new. Throws `storage_denied` or `storage_failed`. */
  async see(locations: readonly string[], now: number): Promise<void> {
    for (const location of locations) {
      if (this.at(location).partsRead === undefined) await this.#note(location, { partsRead: [now] });
    }
  }

  async noteStart(task: Task, now: number): Promise<void> {
    this.#records.started[task] = now;
    await this.#save();
  }

  async noteSweep(location: string, lastSweep: number): Promise<void> {
    await this.#note(location, { lastSweep, sweepFailures: 0 });
  }

  /** A task that came to nothing at the location, and what it said. */
  async noteFailure(task: Task, location: string, message: string): Promise<void> {
    const { sweepFailures = 0, checkFailures = 0 } = this.at(location);
    const news =
      task === "sweep"
        ? { sweepFailures: sweepFailures + 1, sweepError: message }
        : { checkFailures: checkFailures + 1, checkError: message };
    await this.#note(location, news);
  }

  /** What is damaged is read again between the turns, and moves them on only where it is its own turn. */
  async noteCheck(location: string, check: EndedCheck): Promise<void> {
    const { read } = check;
    const inTurn = read?.group === this.nextRead(location, read?.of)?.group;
    await this.#noteEnded(location, check, inTurn ? read : undefined);
  }

  /** Returns whether that is news: one that ended before the last one is none, nor one that finds nothing where damage stays. */
  async noteByHand(location: string, check: EndedCheck): Promise<boolean> {
    const { time, findings, read } = check;
    if (time <= (this.at(location).checkEnded ?? 0)) return false;
    // What is read in turn are the daemon's own parts.
    await this.#noteEnded(location, check, read?.of === 1 ? read : undefined);
    return findings > 0 || !this.isDamaged(location);
  }

  /** `part`: which part counts as read in its turn. */
  async #noteEnded(location: string, check: EndedCheck, part: ReadData | undefined): Promise<void> {
    const { time, findings, foundByReading, read } = check;
    const stays = (this.at(location).damaged ?? []).filter((one) => !covers(read, one));
    // Where everything is to be read again, that part is.
    const isNew = read !== undefined && foundByReading > 0 && !stays.some((one) => covers(one, read));
    const damaged = isNew ? [...stays, { ...read, findings: foundByReading }] : stays;
    const known = damaged.reduce((sum, one) => sum + one.findings, findings - foundByReading);
    const passed = known === 0 ? { lastCheck: time } : {};
    const parts = part === undefined ? {} : { part: part.group, partsRead: this.#withPart(location, time, part) };
    await this.#note(location, { checkEnded: time, checkFailures: 0, findings: known, damaged, ...passed, ...parts });
  }

  /** Other parts than before know no more than that all was read once. */
  #withPart(location: string, now: number, { group, of }: ReadData): number[] {
    const before = this.at(location).partsRead ?? [];
    const all = this.allRead(location) ?? now;
    const known = before.length === of ? before : Array.from({ length: of }, () => all);
    return known.with(group - 1, now);
  }

  async #note(location: string, news: LocationRecord): Promise<void> {
    this.#records.locations[location] = { ...this.at(location), ...news };
    await this.#save();
  }

  async #save(): Promise<void> {
    await this.#state.write(record, this.#records);
  }
}

/** Whether who reads the one reads the other. */
function covers(read: ReadData | undefined, { group, of }: ReadData): boolean {
  return read?.of === 1 || (read?.of === of && read.group === group);
}
