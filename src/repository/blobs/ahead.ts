import { toError } from "../../errors.ts";

export interface AheadOptions<T, R> {
  readonly begin: (item: T) => Promise<R>;
  readonly costOf: (item: T) => number;
  /** No more is begun while what is under way, done and not taken yet, or in use, costs as much; but always one besides that. */
  readonly limit: number;
}

/**
 * The results, in the order of the items; each is begun as early as the limit allows, also while later items are slow to come. A
 * result is in use until the next is asked for. Throws what a result or the items throw, when it is the turn of that.
 */
export async function* ahead<T, R>(
  items: AsyncIterable<T> | Iterable<T>,
  options: AheadOptions<T, R>,
): AsyncGenerator<R, void, void> {
  const iterator = Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]();
  const work = new Work(iterator, options);
  try {
    for (let next = await work.next(); next !== undefined; next = await work.next()) {
      yield await next.result;
      work.taken(next);
    }
  } finally {
    await work.stop();
  }
}

interface Begun<R> {
  readonly result: Promise<R>;
  readonly cost: number;
}

class Work<T, R> {
  readonly #items: AsyncIterator<T> | Iterator<T>;
  readonly #options: AheadOptions<T, R>;
  readonly #begun: Begun<R>[] = [];
  #held = 0;
  #ended = false;
  #failure: Error | undefined;
  #beginning = false;
  /** Of whoever waits for something to be begun, or for the end. */
  #wake: (() => void) | undefined;

  constructor(items: AsyncIterator<T> | Iterator<T>, options: AheadOptions<T, R>) {
    this.#items = items;
    this.#options = options;
  }

  /** Undefined after the last. */
  async next(): Promise<Begun<R> | undefined> {
    while (this.#begun.length === 0 && !this.#ended) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        void this.#begin();
      });
    }
    const next = this.#begun.shift();
    if (next === undefined && this.#failure !== undefined) throw this.#failure;
    void this.#begin();
    return next;
  }

  taken({ cost }: Begun<R>): void {
    this.#held -= cost;
  }

  async stop(): Promise<void> {
    this.#ended = true;
    await this.#items.return?.();
  }

  async #begin(): Promise<void> {
    if (this.#beginning) return;
    this.#beginning = true;
    try {
      while (!this.#ended && (this.#held < this.#options.limit || this.#begun.length === 0)) await this.#beginNext();
    } catch (error) {
      this.#failure = toError(error);
      this.#ended = true;
    }
    this.#beginning = false;
    this.#wake?.();
  }

  async #beginNext(): Promise<void> {
    const { begin, costOf } = this.#options;
    const step = await this.#items.next();
    if (step.done === true) {
      this.#ended = true;
      return;
    }
    const cost = costOf(step.value);
    this.#held += cost;
    const result = begin(step.value);
    result.catch(() => {}); // Seen when its turn comes; here it only must not count as unhandled.
    this.#begun.push({ result, cost });
    this.#wake?.();
  }
}
