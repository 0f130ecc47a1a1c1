/**
 * What was read of a repository's write-once objects before, kept beside this host's state: with 10,000 points it saves as many reads,
 * each with a seal and a signature to verify. It is sealed with the repository's metadata key, so it can't be forged without
 * it. `check` doesn't take its word for what is stored; but a point that it remembers, and that is gone without having been
 * forgotten, is evidence that somebody took it away, even if it was the newest, and all that speaks of it went too.
 */
import { longestLargeObject } from "../format.ts";
import type { KeyRing } from "../keys/key-ring.ts";
import type { RecoveryPoint } from "./manifest.ts";

/** Where the memory is kept between processes. Losing it only costs time. */
export interface MemoryFile {
  /** The bytes last written, or undefined when there are none. */
  read(): Promise<Buffer | undefined>;
  write(data: Buffer): Promise<void>;
}

/** Raised when what is remembered changes its form. */
const memoryVersion = 2;

/** In ms: when the storage was last seen is noted again after so long, as each note writes all that is remembered. */
const notedEvery = 24 * 3_600_000;

interface Remembered {
  readonly version: number;
  readonly repository: string;
  /** When the points were last compared with what is stored, in ms since the epoch by this host's clock, or up to a day before. */
  readonly seen: number;
  readonly points: readonly RecoveryPoint[];
  /** Names of those points that had vanished then. */
  readonly vanished: readonly string[];
  /** Tags and proofs, by object name. */
  readonly objects: Readonly<Record<string, unknown>>;
}

export class CatalogMemory {
  readonly #file: MemoryFile;
  readonly #keys: KeyRing;
  #seen = 0;
  #points = new Map<string, RecoveryPoint>();
  #vanished: ReadonlySet<string> = new Set();
  #objects = new Map<string, unknown>();
  #loaded = false;
  #changed = false;

  constructor(file: MemoryFile, keys: KeyRing) {
    this.#file = file;
    this.#keys = keys;
  }

  /** Reads the file, once. One that is missing, damaged, or of another repository or version counts as empty. */
  async load(): Promise<void> {
    if (this.#loaded) return;
    this.#loaded = true;
    const data = await this.#file.read();
    if (data === undefined) return;
    try {
      const remembered = JSON.parse(this.#keys.openObject("memory", data, "memory").toString()) as Remembered;
      if (remembered.version !== memoryVersion || remembered.repository !== this.#keys.repositoryId) return;
      this.#seen = remembered.seen;
      this.#vanished = new Set(remembered.vanished);
      this.#points = new Map(remembered.points.map((point) => [point.name, point]));
      this.#objects = new Map(Object.entries(remembered.objects));
    } catch {
      this.#changed = true; // Whatever it is, it can be found out again, and is replaced by what is.
    }
  }

  /** When the points were last compared with what is stored, in ms since the epoch by this host's clock, or up to a day before. */
  get seen(): number {
    return this.#seen;
  }

  /** Whether that point was found to have vanished when the storage was last seen. */
  hadVanished(name: string): boolean {
    return this.#vanished.has(name);
  }

  /** Notes what is stored now, and which points have vanished; forgets everything else, and writes the file if anything is new. */
  async save(stored: ReadonlySet<string>, vanished: ReadonlySet<string>, now: number): Promise<void> {
    this.#keep(stored.union(vanished));
    if (vanished.symmetricDifference(this.#vanished).size > 0 || now >= this.#seen + notedEvery) this.#changed = true;
    this.#vanished = vanished;
    if (this.#changed) this.#seen = now;
    await this.#write();
  }

  /** Remembers points that this host has just stored there itself, and writes the file. */
  async saveStored(points: Iterable<RecoveryPoint>): Promise<void> {
    await this.load();
    for (const point of points) this.addPoint(point);
    await this.#write();
  }

  async #write(): Promise<void> {
    if (!this.#changed) return;
    const remembered: Remembered = {
      version: memoryVersion,
      repository: this.#keys.repositoryId,
      seen: this.#seen,
      points: [...this.#points.values()],
      vanished: [...this.#vanished],
      objects: Object.fromEntries(this.#objects),
    };
    this.#changed = false;
    const text = textOf(remembered);
    if (text !== undefined) await this.#file.write(this.#keys.sealObject("memory", text));
  }

  /** Forgets points whose loss somebody has accepted, by id. */
  async accept(lost: ReadonlySet<string>): Promise<void> {
    await this.load();
    const kept = [...this.#points.values()].filter(({ id }) => !lost.has(id)).map(({ name }) => name);
    this.#keep(new Set([...kept, ...this.#objects.keys()]));
    await this.#write();
  }

  #keep(names: ReadonlySet<string>): void {
    for (const map of [this.#points, this.#objects]) {
      for (const name of map.keys()) if (!names.has(name)) this.#changed = map.delete(name);
    }
  }

  /** Every point remembered, stored or gone. */
  get points(): Iterable<RecoveryPoint> {
    return this.#points.values();
  }

  point(name: string): RecoveryPoint | undefined {
    return this.#points.get(name);
  }

  addPoint(point: RecoveryPoint): void {
    this.#points.set(point.name, point);
    this.#changed = true;
  }

  /** What was read under this name before; the caller knows its type by the name's folder. */
  object(name: string): unknown {
    return this.#objects.get(name);
  }

  addObject(name: string, object: unknown): void {
    this.#objects.set(name, object);
    this.#changed = true;
  }
}

/** Undefined for what is too much for one string, or to be opened again: then the points are read anew, as without a memory. */
function textOf(remembered: Remembered): Buffer | undefined {
  try {
    const text = Buffer.from(JSON.stringify(remembered));
    return text.length > longestLargeObject ? undefined : text;
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}
