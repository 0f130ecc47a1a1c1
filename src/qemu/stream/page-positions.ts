/** Where each page of a RAM block lies in a file. */

/** Pages that are described together: 32 MiB with pages of 4 KiB. Memory is only taken for groups in which there is something. */
const pagesPerGroup = 8192;

export class PagePositions {
  readonly pages: number;
  /** How many pages were in the stream, zeros among them. */
  seen = 0;
  readonly #groups: (Float64Array | undefined)[];
  /** A bit for each page that was in the stream. */
  readonly #marks: (Uint8Array | undefined)[];

  constructor(pages: number) {
    this.pages = pages;
    const groups = Math.ceil(pages / pagesPerGroup);
    this.#groups = Array.from({ length: groups });
    this.#marks = Array.from({ length: groups });
  }

  /** Where the page's content begins in the file; 0 for a page of zeros, or one that isn't in the stream. */
  get(page: number): number {
    return this.#groups[Math.floor(page / pagesPerGroup)]?.[page % pagesPerGroup] ?? 0;
  }

  /** The positions of `count` pages from `first` on (fewer mean zeros for the rest); undefined when all are zeros. */
  slice(first: number, count: number): Float64Array | undefined {
    const group = Math.floor(first / pagesPerGroup);
    const start = first % pagesPerGroup;
    if (start + count <= pagesPerGroup) return this.#groups[group]?.subarray(start, start + count);
    const positions = Float64Array.from({ length: count }, (_, number) => this.get(first + number));
    return positions.some((position) => position !== 0) ? positions : undefined;
  }

  /** Notes a page. False when it was noted before. `position` 0 stands for zeros. */
  set(page: number, position: number): boolean {
    const group = Math.floor(page / pagesPerGroup);
    const place = page % pagesPerGroup;
    const marks = (this.#marks[group] ??= new Uint8Array(pagesPerGroup / 8));
    const before = marks[place >> 3] as number;
    const bit = 1 << (place & 7);
    if ((before & bit) !== 0) return false;
    marks[place >> 3] = before | bit;
    this.seen += 1;
    if (position !== 0) (this.#groups[group] ??= new Float64Array(pagesPerGroup))[place] = position;
    return true;
  }
}
