type Work<Result> = () => Promise<Result>;

interface Flight<Result> {
  /** Asked for while it did its own work: it does that too. */
  next?: Work<Result>;
  /** Asked for after that: takes over when it ends. `begin(false)` sends it away. */
  heir?: { readonly flight: Flight<Result>; readonly begin: (itsTurn: boolean) => void };
  /** Whether it does what was asked for meanwhile, the last that it does. */
  ending: boolean;
}

/**
 * Work that is never done twice at a time: what is asked for while it is under way is done afterwards, by whoever is at it. Nobody is
 * kept at it for ever, however often it is asked for.
 */
export class SingleFlight<Result> {
  /** What is under way, by name. */
  readonly #flights = new Map<string, Flight<Result>>();

  /**
   * Does `work`, and then what was asked for meanwhile under the same name, as it was asked last; returns both results. Undefined, at
   * once, when such work is under way and does this too. Who asks when it does the last that it does waits, and goes on from there
   * unless somebody asks after him. An error ends it, and what was asked for meanwhile is left to the next request.
   */
  async run(name: string, work: Work<Result>): Promise<Result[] | undefined> {
    const underWay = this.#flights.get(name);
    if (underWay?.ending === false) {
      underWay.next = work;
      return undefined;
    }
    const flight: Flight<Result> = { ending: false };
    if (underWay === undefined) this.#flights.set(name, flight);
    else if (!(await inherit(underWay, flight))) return undefined;
    try {
      const results = [await work()];
      flight.ending = true;
      if (flight.next !== undefined) results.push(await flight.next());
      return results;
    } finally {
      if (flight.heir === undefined) this.#flights.delete(name);
      else {
        this.#flights.set(name, flight.heir.flight);
        flight.heir.begin(true);
      }
    }
  }
}

/** Whether its turn came; not when somebody asked after it. */
async function inherit<Result>(underWay: Flight<Result>, flight: Flight<Result>): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  underWay.heir?.begin(false);
  underWay.heir = { flight, begin: resolve };
  return await promise;
}
