import { setImmediate } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { carriers, type Session, Sessions } from "../../../../src/storage/drivers/sftp/sessions.ts";
import { rejection } from "../../../helpers/rejection.ts";

/** Connections that are made as often as the test lets them be; each is lost when the test says so. */
function connections(allowed: number, { roundTrip = 150, handshake = async () => await setImmediate() } = {}) {
  const clients: { over: boolean; roundTrip: number }[] = [];
  let connecting = 0;
  let most = 0;
  let attempts = 0;
  const sessions = new Sessions(async () => {
    most = Math.max(most, ++connecting);
    attempts += 1;
    await handshake();
    connecting -= 1;
    if (clients.filter(({ over }) => !over).length >= allowed) throw new Error("no more");
    const client = { over: false, roundTrip };
    clients.push(client);
    return { client, folders: {} } as unknown as Session;
  }, 6);
  /** Begins so many pieces of work that end when the test lets them; gives the number of the connection of each. */
  const begin = async (count: number, long: boolean) => {
    const end = Promise.withResolvers<undefined>();
    const began: Promise<number>[] = [];
    const ends = Array.from({ length: count }, async () => {
      const { promise, resolve } = Promise.withResolvers<number>();
      began.push(promise);
      await sessions.use(long, async ({ client }) => {
        resolve(clients.indexOf(client));
        await end.promise;
      });
    });
    return {
      on: (await Promise.all(began)).toSorted((a, b) => a - b),
      end: async () => {
        end.resolve(undefined);
        await Promise.all(ends);
      },
    };
  };
  return { clients, sessions, begin, mostAtOnce: () => most, attempts: () => attempts };
}

describe("connections of an SFTP storage", () => {
  test("long transfers get one each, up to six; short work needs no other", async () => {
    const { begin, mostAtOnce } = connections(9);
    expect((await begin(3, false)).on).toEqual([0, 0, 0]);
    const long = await begin(6, true);
    expect(long.on).toEqual([0, 1, 2, 3, 4, 5]);
    // A handshake takes many round trips: they were made at the same time.
    expect(mostAtOnce()).toBe(5);
    const more = await begin(2, true);
    expect(more.on).toEqual([0, 1]);
    expect((await begin(3, false)).on).toHaveLength(3);
    await Promise.all([long.end(), more.end()]);
    expect((await begin(4, true)).on).toEqual([0, 1, 2, 3]);
  });

  test("one after the other they need one alone", async () => {
    const { begin } = connections(9);
    for (let n = 0; n < 3; n++) {
      const { on, end } = await begin(1, true);
      expect(on).toEqual([0]);
      await end();
    }
  });

  test("on a short line two carry all there is; each more costs a handshake", async () => {
    const { clients, begin } = connections(9, { roundTrip: 0.2 });
    await (await begin(1, false)).end();
    // While the second is made, the first takes all.
    expect((await begin(4, true)).on).toEqual([0, 0, 0, 1]);
    expect((await begin(4, true)).on).toEqual([0, 1, 1, 1]);
    expect(clients).toHaveLength(2);
    expect([0, 5, 5.1, 12, 20, 150].map(carriers)).toEqual([1, 1, 2, 3, 4, 30]);
  });

  test.each([9, 1])(
    "what waits for a handshake goes by a connection that falls quiet before (of %i)",
    async (allowed) => {
      let handshake = Promise.withResolvers<undefined>();
      const { begin, attempts } = connections(allowed, { handshake: async () => await handshake.promise });
      handshake.resolve(undefined);
      const first = await begin(1, true);
      handshake = Promise.withResolvers();
      const second = begin(1, true);
      await first.end();
      expect((await second).on).toEqual([0]);
      handshake.resolve(undefined);
      await setImmediate();
      // The other is there now, or the server has refused it, and is asked no more.
      const third = await begin(1, true);
      expect([third.on, attempts()]).toEqual([[allowed === 1 ? 0 : 1], 2]);
    },
  );

  test("a transfer is spread over what a long line is worth, in pieces that are worth a round trip", async () => {
    const mebibyte = 2 ** 20;
    const far = connections(9);
    expect(far.sessions.lanesFor(16 * mebibyte)).toBe(1);
    await (await far.begin(1, false)).end();
    expect([1, 3, 4, 11, 12, 64].map((size) => far.sessions.lanesFor(size * mebibyte))).toEqual([1, 1, 2, 5, 6, 6]);
    const near = connections(9, { roundTrip: 0.2 });
    await (await near.begin(1, false)).end();
    expect(near.sessions.lanesFor(64 * mebibyte)).toBe(1);
  });

  test("a server that wants no more is asked no more, and a lost connection is replaced", async () => {
    const { clients, begin } = connections(2);
    const first = await begin(4, true);
    expect(first.on).toEqual([0, 0, 1, 1]);
    await first.end();
    for (const client of clients) client.over = true;
    expect((await begin(2, true)).on).toEqual([2, 3]);
  });

  test("without any, the reason is thrown, and the next call tries again", async () => {
    const { sessions } = connections(0);
    for (let n = 0; n < 2; n++) {
      const error = await rejection(sessions.use(true, async () => await Promise.resolve()));
      expect(error).toMatchObject({ message: "no more" });
    }
  });
});
