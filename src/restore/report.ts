/** What a restore did, and what it could not do. */
import { encodeText } from "../repository/tree/directory-tree.ts";
import type { DamagedRange } from "./pieces.ts";
import type { Lack } from "./set-attributes.ts";

/** A range of a file that is zeros instead of what it was; or, without `offset`, a folder that could not be read at all. */
export interface Damage {
  /** Relative to the target, empty for the target itself; or `path64`, its bytes in base64, when it isn't UTF-8. */
  readonly path?: string;
  readonly path64?: string;
  readonly offset?: number;
  readonly length?: number;
  readonly reason: string;
}

/** Something that was not brought back, how often, and the first path for which it wasn't. */
export interface Shortfall {
  readonly what: Lack;
  readonly count: number;
  readonly example: string;
}

export interface RestoreReport {
  /** Where the result is: the target, or, when something is damaged, the folder or file that waits beside it. */
  readonly place: string;
  /** Whether every byte is what was captured. */
  readonly complete: boolean;
  readonly files: number;
  readonly folders: number;
  /** Of content. */
  readonly bytes: number;
  /** Bytes of it that an earlier, cut off restore had brought back. */
  readonly bytesInPlace: number;
  readonly damaged: readonly Damage[];
  readonly shortfalls: readonly Shortfall[];
  /** What else is to be said: why a virtual machine can't be started again from what was restored. */
  readonly problems: readonly string[];
}

/** Gathers a report while the work goes on. */
export class RestoreTally {
  files = 0;
  folders = 0;
  bytes = 0;
  bytesInPlace = 0;
  readonly damaged: Damage[] = [];
  readonly problems: string[] = [];
  readonly #shortfalls = new Map<Lack, { count: number; readonly example: string }>();

  damage(path: Buffer, ranges: readonly DamagedRange[]): void {
    for (const { offset, length, reason } of ranges)
      this.damaged.push({ ...encodeText("path", path), offset, length, reason });
  }

  damagedFolder(path: Buffer, reason: string): void {
    this.damaged.push({ ...encodeText("path", path), reason });
  }

  lack(path: Buffer, lacks: readonly Lack[]): void {
    for (const what of lacks) {
      const known = this.#shortfalls.get(what);
      if (known === undefined) this.#shortfalls.set(what, { count: 1, example: path.toString() });
      else known.count += 1;
    }
  }

  finish(place: string): RestoreReport {
    const { files, folders, bytes, bytesInPlace, damaged, problems } = this;
    const shortfalls = [...this.#shortfalls].map(([what, { count, example }]) => ({ what, count, example }));
    return {
      place,
      complete: damaged.length === 0,
      files,
      folders,
      bytes,
      bytesInPlace,
      damaged,
      shortfalls,
      problems,
    };
  }
}
