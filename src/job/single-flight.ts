/** Work that is never done twice at a time: what is asked for while it is under way is done afterwards, by whoever is at it. */
export class SingleFlight {
  /** What is under way, by name, with the newest request that came meanwhile. */
  readonly #flights = new Map<string, { next: (() => Promise<unknown>) | undefined }>();

  /**
   * Does `work`, and then what was asked for meanwhile under the same name; returns all results. Undefined, at once, when
   * such work is under way. An error ends it, and what was asked for meanwhile is left to the next request.
   */
  async run<T>(name: string, work: () => Promise<T>): Promise<T[] | undefined> {
    const underWay = this.#flights.get(name);
    if (underWay !== undefined) {
      underWay.next = work;
      return undefined;
    }
    const flight: { next: (() => Promise<T>) | undefined } = { next: work };
    this.#flights.set(name, flight);
    const results: T[] = [];
    try {
      while (flight.next !== undefined) {
        const next = flight.next;
        flight.next = undefined;
        results.push(await next());
      }
      return results;
    } finally {
      this.#flights.delete(name);
    }
  }
}
