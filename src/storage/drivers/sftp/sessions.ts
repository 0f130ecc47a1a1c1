/** The connections of one storage: made when there is something to do for them, and anew when they are lost. */

import type { SftpClient } from "./client.ts";
import type { Folders } from "./folders.ts";

/** One connection, and what is known of the server's folders while it lasts. */
export interface Session {
  readonly client: SftpClient;
  readonly folders: Folders;
}

interface Open {
  readonly session: Session;
  /** Long transfers under way. */
  moving: number;
}

/** In bytes: OpenSSH lets no more be under way on one connection. */
const window = 2 ** 21;
/** In bytes per second: about what one thread seals. */
const fastestUse = 400 * 2 ** 20;
/** Worth having on a short line: while the server forces a file from one to its disk, it writes what comes by another. */
const fewest = 2;

/** How many connections it takes to carry all there is to carry, with round trips of so many ms. */
export function carriers(roundTrip: number): number {
  return Math.max(1, Math.ceil((fastestUse * roundTrip) / 1000 / window));
}

export class Sessions {
  readonly #connect: () => Promise<Session>;
  #open: Open[] = [];
  readonly #connecting = new Set<Promise<Open>>();
  /** Resolved when a long transfer has ended. */
  #quiet = Promise.withResolvers<undefined>();
  readonly #allowed: number;
  /** Fewer than allowed when the server wants no more. */
  #most: number;

  /**
   * `connect` makes a new one; there are at most so many at once, and no more than the line's length is worth: a handshake costs
   * both sides a tenth of a second of a processor.
   */
  constructor(connect: () => Promise<Session>, allowed: number) {
    this.#connect = connect;
    this.#allowed = allowed;
    this.#most = allowed;
  }

  /** Over how many connections one transfer of so many bytes is worth spreading: what one carries in a round trip isn't. */
  lanesFor(bytes: number): number {
    const known = this.#open.length === 0 ? 1 : carriers(this.#roundTrip);
    return Math.max(1, Math.min(this.#most, known, Math.floor(bytes / window)));
  }

  /**
   * Does the work on one of the connections: a long transfer on one that has no other, as far as there may be so many (whichever
   * comes first: a new one, or the end of another transfer), and what is short on the first best. Throws what `connect` throws when there is none.
   */
  async use<T>(long: boolean, work: (session: Session) => Promise<T>): Promise<T> {
    const open = await this.#begin(long);
    try {
      return await work(open.session);
    } finally {
      if (long) this.#end(open);
    }
  }

  #end(open: Open): void {
    open.moving -= 1;
    const { resolve } = this.#quiet;
    this.#quiet = Promise.withResolvers();
    resolve(undefined);
  }

  async #begin(long: boolean): Promise<Open> {
    let own: Promise<Open> | undefined;
    for (;;) {
      this.#open = this.#open.filter(({ session }) => !session.client.over);
      const [quietest] = this.#open.toSorted((a, b) => a.moving - b.moving);
      const worthwhile = Math.max(fewest, carriers(this.#roundTrip));
      const full = this.#open.length + this.#connecting.size >= Math.min(this.#most, worthwhile);
      if (quietest !== undefined && (!long || quietest.moving === 0 || (full && own === undefined)))
        return counted(quietest, long);
      try {
        if (!full && (long || this.#connecting.size === 0)) own ??= this.#another();
        // A handshake takes many round trips: a transfer on another may end before.
        const made = await (own === undefined
          ? Promise.race(this.#connecting)
          : Promise.race([own, this.#quiet.promise]));
        // One that is lost right after it was made is given all the same: its requests say why.
        if (made !== undefined && (own !== undefined || made.session.client.over)) return counted(made, long);
      } catch (error) {
        own = undefined;
        if (this.#others === 0) throw error;
      }
    }
  }

  /** Connections that there are, or will be. */
  get #others(): number {
    return this.#open.filter(({ session }) => !session.client.over).length + this.#connecting.size;
  }

  /** In ms: as short as any connection has seen it. Infinite without one. */
  get #roundTrip(): number {
    return Math.min(...this.#open.map(({ session }) => session.client.roundTrip));
  }

  /** Several are made at once. */
  #another(): Promise<Open> {
    if (this.#others === 0) this.#most = this.#allowed;
    const connecting = this.#connect()
      .then((session) => {
        const open = { session, moving: 0 };
        this.#open.push(open);
        return open;
      })
      .finally(() => this.#connecting.delete(connecting));
    this.#connecting.add(connecting);
    // Also when nobody waits for it any more. The server wants no more of them: it goes on with those that there are.
    connecting.catch(() => (this.#most = Math.max(1, this.#others)));
    return connecting;
  }
}

/** At once: whoever chooses next must see it. */
function counted(open: Open, long: boolean): Open {
  if (long) open.moving += 1;
  return open;
}
