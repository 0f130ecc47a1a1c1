/** The HTTP server, which may move to another address while it runs. */
import type { Logger } from "../host/log.ts";
import { type HttpServer, type Listen, type Routes, serveHttp } from "./http-server.ts";

export class HttpFront {
  readonly #routes: Routes;
  readonly #log: Logger;
  #server: HttpServer | undefined;

  constructor(routes: Routes, log: Logger) {
    this.#routes = routes;
    this.#log = log;
  }

  /** Undefined while it isn't open. */
  get url(): string | undefined {
    return this.#server?.url;
  }

  /** Opens the new address before the old one is closed: when it can't be used, the old one stays. Throws what `serveHttp` does. */
  async listen(listen: Listen): Promise<void> {
    const before = this.#server;
    this.#server = await serveHttp(listen, this.#routes, this.#log);
    await before?.close();
  }

  async close(): Promise<void> {
    await this.#server?.close();
    this.#server = undefined;
  }
}
