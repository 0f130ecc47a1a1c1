/** Notices who reads one thing after the other, and has the next ready. */

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
  readonly #window: number;
  /** The least recently used first. */
  #streams: Stream[] = [];

  /**
   * `prepare` reads a range so that it is at hand, as far as there is one. `window`, in bytes, is how far; it is begun anew when less
   * than half of it is left before the reader.
   */
  constructor(prepare: (offset: number, length: number) => Promise<void>, window: number) {
    this.#prepare = prepare;
    this.#window = window;
  }

  /** Notes a read that is about to be made, and begins the next when it belongs to a sequence. */
  note(offset: number, length: number): void {
    const stream = this.#streamAt(offset);
    stream.reads += 1;
    stream.next = Math.max(stream.next, offset + length);
    if (stream.reads < enough || stream.busy || stream.prepared - stream.next > this.#window / 2) return;
    const from = Math.max(stream.prepared, stream.next);
    stream.prepared = stream.next + this.#window;
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
