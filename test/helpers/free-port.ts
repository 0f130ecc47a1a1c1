import { randomInt } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:net";

const given = new Set<number>();
/** Files that run at the same time draw from different thousands: a program may listen long after its port was drawn. */
const thousands = 10 + 10 * (Number(process.env["VITEST_POOL_ID"]) % 2);

/**
 * A port of 127.0.0.1 that nobody listens on, for a program that can't be asked which one it took. It is below those that the
 * kernel gives to connections (32768 and above): so no connection of another test takes it before the program does.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = thousands * 1000 + randomInt(10_000);
    if (given.has(port)) continue;
    const server = createServer().listen(port, "127.0.0.1");
    try {
      await once(server, "listening");
    } catch {
      continue;
    }
    await server[Symbol.asyncDispose]();
    given.add(port);
    return port;
  }
}
