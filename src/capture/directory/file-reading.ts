/** One file being read: opened without disturbing it, cut into chunks. */
import { type BigIntStats, closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { errnoOf } from "../../host/files.ts";
import { readAhead, seekData, syscallsAvailable } from "../../host/syscalls.ts";
import { hole } from "../../repository/tree/image-tree.ts";
import type { Chunk } from "../../repository/tree/stream-tree.ts";
import { chunkLength, type GearTable, longestChunk } from "../stream/chunker.ts";

/** A thread reads one file at a time, so this serves all of them. */
const buffer = Buffer.allocUnsafeSlow(2 * longestChunk);

/** Opens without waiting for a FIFO that took the file's place, and without marking the file as accessed where we may. */
function openUntouched(path: Buffer): number {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  try {
    return openSync(path, flags | constants.O_NOATIME);
  } catch (error) {
    if (errnoOf(error) !== "EPERM") throw error;
    return openSync(path, flags);
  }
}

/** One pass over a file, up to the size that it had when it was opened. What it grew by since shows when it is looked at again. */
export class FileReading {
  readonly path: Buffer;
  readonly stats: BigIntStats;
  readonly sparse: boolean;
  /** Bytes read so far. */
  read = 0;
  readonly #fd: number;
  #end: number;
  /** The buffer holds the file's bytes from `#base` on: `#at` to `#filled` of them are still to be cut. */
  #base = 0;
  #at = 0;
  #filled = 0;

  constructor(path: Buffer) {
    this.path = path;
    this.#fd = openUntouched(path);
    this.stats = fstatSync(this.#fd, { bigint: true });
    this.#end = Number(this.stats.size);
    this.sparse = this.stats.blocks * 512n < this.stats.size;
    if (this.#end > 0 && this.stats.isFile()) readAhead(this.#fd, 0, Math.min(buffer.length, this.#end));
  }

  /** Bytes of the file, holes too, that were passed by the chunks before the last one. */
  get position(): number {
    return this.#base + this.#at;
  }

  close(): void {
    closeSync(this.#fd);
  }

  /** The chunks' bytes, in a buffer that is overwritten by the next; holes come as such. */
  *chunks(table: GearTable): Generator<Buffer | Chunk> {
    for (;;) {
      if (this.#filled - this.#at < longestChunk && this.#base + this.#filled < this.#end) {
        for (let skipped = this.#skipHole(); skipped > 0; skipped--) yield { id: hole, size: longestChunk };
        this.#fill();
      }
      if (this.#at === this.#filled) return;
      const length = chunkLength(table, buffer, this.#at, this.#filled);
      yield buffer.subarray(this.#at, this.#at + length);
      this.#at += length;
    }
  }

  /** Passes over the chunks that lie in a hole as a whole; returns how many. They would all be of the greatest length. */
  #skipHole(): number {
    if (!this.sparse) return 0;
    const position = this.#base + this.#at;
    const data = Math.min(this.#end, nextData(this.#fd, position) ?? this.#end);
    const count = Math.floor((data - position) / longestChunk);
    if (count > 0) {
      this.#base = position + count * longestChunk;
      this.#at = this.#filled = 0;
    }
    return count;
  }

  #fill(): void {
    buffer.copyWithin(0, this.#at, this.#filled);
    this.#base += this.#at;
    this.#filled -= this.#at;
    this.#at = 0;
    while (this.#filled < buffer.length && this.#base + this.#filled < this.#end) {
      const offset = this.#base + this.#filled;
      const length = Math.min(buffer.length - this.#filled, this.#end - offset);
      const got = readSync(this.#fd, buffer, this.#filled, length, offset);
      if (got === 0) this.#end = offset; // It has shrunk.
      this.#filled += got;
      this.read += got;
    }
  }
}

function nextData(fd: number, offset: number): number | undefined {
  if (!syscallsAvailable()) return offset;
  try {
    return seekData(fd, offset);
  } catch {
    return offset; // A file system that doesn't tell: everything is read.
  }
}
