/** A storage at the end of a long line: it answers, all at once, what it was asked since it last did. */
import { setImmediate } from "node:timers/promises";
import type { ByteRange, CallOptions, GetOptions, ObjectInfo, Storage } from "../../src/storage/storage.ts";

/** Nothing that tests work with waits for the world outside: after so many turns of the event loop there is no more to ask. */
const turns = 20;

export class FarStorage implements Storage {
  readonly location: string;
  readonly #near: Storage;
  #asked: { readonly what: string; readonly answer: () => void }[] = [];

  constructor(near: Storage) {
    this.#near = near;
    this.location = near.location;
  }

  /** What the work asks for in each round trip, as it asks: `get packs/…` is `get packs`. */
  async roundTrips(work: Promise<unknown>): Promise<string[][]> {
    let over = false;
    const done = work.finally(() => (over = true));
    done.catch(() => undefined); // Seen below.
    const seen: string[][] = [];
    for (;;) {
      for (let turn = 0; turn < turns; turn++) await setImmediate();
      if (over) {
        await done;
        return seen;
      }
      const asked = this.#asked.splice(0);
      if (asked.length === 0) throw new Error("The work waits for something else than this storage.");
      seen.push(asked.map(({ what }) => what).toSorted());
      for (const { answer } of asked) answer();
    }
  }

  async put(name: string, data: readonly Uint8Array[], options?: CallOptions): Promise<void> {
    await this.#answered("put", name);
    await this.#near.put(name, data, options);
  }

  async get(name: string, range?: ByteRange, options?: GetOptions): Promise<Buffer> {
    await this.#answered("get", name);
    return await this.#near.get(name, range, options);
  }

  async stat(name: string, options?: CallOptions): Promise<ObjectInfo> {
    await this.#answered("stat", name);
    return await this.#near.stat(name, options);
  }

  async *list(prefix: string, options?: CallOptions): AsyncIterable<ObjectInfo> {
    await this.#answered("list", prefix);
    yield* this.#near.list(prefix, options);
  }

  async delete(name: string, options?: CallOptions): Promise<void> {
    await this.#answered("delete", name);
    await this.#near.delete(name, options);
  }

  async #answered(operation: string, name: string): Promise<void> {
    const [first = ""] = name.split("/");
    await new Promise<void>((answer) => void this.#asked.push({ what: `${operation} ${first}`, answer }));
  }
}
