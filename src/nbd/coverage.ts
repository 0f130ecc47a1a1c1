import { Violation } from "./inflow.ts";

/** Servers send the pieces of a reply in order, or nearly; only a hostile one makes more gaps than this. */
const mostRanges = 1024;

/** Which parts of a read have been filled: each byte must be, once. */
export class Coverage {
  readonly #length: number;
  /** Starts and ends in turn, ascending; neighbours that touch are one. */
  readonly #bounds: number[] = [];

  constructor(length: number) {
    this.#length = length;
  }

  get complete(): boolean {
    return this.#length === 0 || (this.#bounds[0] === 0 && this.#bounds[1] === this.#length);
  }

  /** Throws `Violation` when the range is empty, outside, or overlaps an earlier one. */
  add(start: number, length: number): void {
    const end = start + length;
    const bounds = this.#bounds;
    if (length <= 0 || start < 0 || end > this.#length)
      throw new Violation("it sent data outside of what was asked for");
    let at = bounds.length;
    while (at > 0 && (bounds[at - 2] ?? 0) >= end) at -= 2;
    const before = bounds[at - 1] ?? -1;
    if (before > start) throw new Violation("it sent the same data twice");
    const joinsBefore = before === start;
    const joinsAfter = bounds[at] === end;
    if (joinsBefore && joinsAfter) bounds.splice(at - 1, 2);
    else if (joinsBefore) bounds[at - 1] = end;
    else if (joinsAfter) bounds[at] = start;
    else bounds.splice(at, 0, start, end);
    if (bounds.length > 2 * mostRanges) throw new Violation("it sent a reply in too many pieces");
  }
}
