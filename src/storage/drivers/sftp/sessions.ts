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
/** While the server forces a file from one to its disk, what comes by another is written. */
const fewest = 2;

/**
 * How many connections one place is worth, with round trips of so many ms: no more than it takes to carry what there is to
 * carry, since a handshake costs both sides a tenth of a second of a processor.
 */
export function worthwhile(roundTrip: number): number {
  return Math.max(fewest, Math.ceil((fastestUse * roundTrip) / 1000 / window));
}

export class Sessions {
  readonly #connect: () => Promise<Session>;
  #open: Open[] = [];
  readonly #connecting = new Set<Promise<Open>>();
  readonly #allowed: number;
  /** Fewer than allowed when the server wants no more. */
  #most: number;

  /** `connect` makes a new one; there are at most so many at once, and no more than the place is worth. */
  constructor(connect: () => Promise<Session>, allowed: number) {
    this.#connect = connect;
    this.#allowed = allowed;
    this.#most = allowed;
  }

  /**
   * Does the work on one of the connections: a long transfer on one that has no other, as far as there may be so many, and what
   * is short on the first best. Throws what `connect` throws when there is none.
   */
  async use<T>(long: boolean, work: (session: Session) => Promise<T>): Promise<T> {
    const open = await this.#begin(long);
    try {
      return await work(open.session);
    } finally {
      if (long) open.moving -= 1;
    }
  }

  async #begin(long: boolean): Promise<Open> {
    for (;;) {
      this.#open = this.#open.filter(({ session }) => !session.client.over);
      const [quietest] = this.#open.toSorted((a, b) => a.moving - b.moving);
      const full = this.#open.length + this.#connecting.size >= Math.min(this.#most, worthwhile(this.#roundTrip));
      if (quietest !== undefined && (!long || quietest.moving === 0 || full)) return counted(quietest, long);
      try {
        if (!full && (long || this.#connecting.size === 0)) return await this.#another(long);
        const made = await Promise.race(this.#connecting);
        // One that is lost right after it was made is given all the same: its requests say why.
        if (made.session.client.over) return counted(made, long);
      } catch (error) {
        const others = this.#open.filter(({ session }) => !session.client.over).length + this.#connecting.size;
        if (others === 0) throw error;
        // The server wants no more of them: it goes on with those that there are.
        this.#most = others;
      }
    }
  }

  /** In ms: as short as any connection has seen it. Infinite without one. */
  get #roundTrip(): number {
    return Math.min(...this.#open.map(({ session }) => session.client.roundTrip));
  }

  /** A handshake takes many round trips, so several are made at once. */
  async #another(long: boolean): Promise<Open> {
    if (this.#open.length + this.#connecting.size === 0) this.#most = this.#allowed;
    const connecting = this.#connect().then((session) => {
      const open = counted({ session, moving: 0 }, long);
      this.#open.push(open);
      return open;
    });
    this.#connecting.add(connecting);
    try {
      return await connecting;
    } finally {
      this.#connecting.delete(connecting);
    }
  }
}

/** At once: whoever chooses next must see it. */
function counted(open: Open, long: boolean): Open {
  if (long) open.moving += 1;
  return open;
}
