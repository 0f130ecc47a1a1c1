import { randomInt } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:net";

/**
 * A port of 127.0.0.1 that nobody listens on, for a program that can't be asked which one it took. It is below those that the
 * kernel gives to connections (32768 and above): so no connection of another test takes it before the program does.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(10_000, 30_000);
    const server = createServer().listen(port, "127.0.0.1");
    try {
      await once(server, "listening");
    } catch {
      continue;
    }
    await server[Symbol.asyncDispose]();
    return port;
  }
}
