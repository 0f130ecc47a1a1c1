/** Notices who reads one thing after the other, and has the next ready. */

/** Begun when less than half of it is left before the reader. In bytes. */
const window = 8 * 1024 * 1024;

/** Readers with many requests under way at once send them in no exact order. In bytes. */
const slack = 4 * 1024 * 1024;

/** Reads in a row that make a sequential reader. */
const enough = 3;

/** Sequential readers that are followed at once: those of several clients, or connections of one. */
const mostStreams = 16;

interface Stream {
  /** Where the next read is expected. */
  next: number;
  /** What has been begun reaches to here. */
  prepared: number;
  reads: number;
  busy: boolean;
}

export class ReadAhead {
  readonly #prepare: (offset: number, length: number) => Promise<void>;
  /** The least recently used first. */
  #streams: Stream[] = [];

  /** `prepare` reads a range so that it is at hand, as far as there is one. */
  constructor(prepare: (offset: number, length: number) => Promise<void>) {
    this.#prepare = prepare;
  }

  /** Notes a read that is about to be made, and begins the next when it belongs to a sequence. */
  note(offset: number, length: number): void {
    const stream = this.#streamAt(offset);
    stream.reads += 1;
    stream.next = Math.max(stream.next, offset + length);
    if (stream.reads < enough || stream.busy || stream.prepared - stream.next > window / 2) return;
    const from = Math.max(stream.prepared, stream.next);
    stream.prepared = stream.next + window;
    stream.busy = true;
    // What can't be read is for the reader to hear of, when it comes there.
    void this.#prepare(from, stream.prepared - from)
      .catch(() => undefined)
      .finally(() => {
        stream.busy = false;
      });
  }

  #streamAt(offset: number): Stream {
    const known = this.#streams.find(({ next }) => Math.abs(offset - next) <= slack);
    const stream = known ?? { next: offset, prepared: 0, reads: 0, busy: false };
    this.#streams = [...this.#streams.filter((one) => one !== stream), stream].slice(-mostStreams);
    return stream;
  }
}
