/** Serves read-only disks to NBD clients of this host: qemu, nbdcopy, qemu-nbd, guestmount. */
import * as net from "node:net";
import { StillpointError } from "../errors.ts";
import { systemClock } from "../host/clock.ts";
import type { NbdExport } from "./export.ts";
import { ServerConnection } from "./serve-connection.ts";

/** Where to listen: a UNIX socket, for this user only; or a port of the loopback interface, for every user of the host. */
export type NbdAddress = { readonly socket: string } | { readonly port: number };

export interface NbdServerOptions {
  /** At least one; the first is the default. Names are unique. */
  readonly exports: readonly NbdExport[];
  readonly address: NbdAddress;
}

/**
 * A client takes some MiB of memory at most (serve-connection.ts); nobody needs more of them. Once a client has shaken hands, it may be
 * silent, and leave replies lying, for as long as it likes: that is what a guest does that is paused over a weekend, and an error would break
 * its disk. It holds up nobody else, unless it takes all the places, which only users of this host can.
 */
const mostConnections = 64;

/** In ms: a client that hasn't finished its handshake by then is dropped. */
const handshakeTime = 10_000;

/** In ms: how long a shutdown waits for clients to take their last replies. */
const shutdownTime = 2000;

export class NbdServer {
  readonly #exports: readonly NbdExport[];
  readonly #server: net.Server;
  readonly #connections = new Map<net.Socket, ServerConnection>();
  readonly #address: NbdAddress;

  /**
   * Begins to listen. A port of 0 takes any that is free.
   *
   * @throws StillpointError `busy` when the address is in use, `storage_denied` when it may not be used, else `storage_failed`
   */
  static async listen(options: NbdServerOptions): Promise<NbdServer> {
    const server = new NbdServer(options);
    await server.#listen();
    return server;
  }

  private constructor({ exports, address }: NbdServerOptions) {
    this.#exports = exports;
    this.#address = address;
    this.#server = net.createServer({ noDelay: true }, (socket) => this.#accept(socket));
    this.#server.maxConnections = mostConnections;
  }

  /** The URI of an export (https://github.com/NetworkBlockDevice/nbd, doc/uri.md). */
  uri({ name }: Pick<NbdExport, "name">): string {
    const path = encodeURIComponent(name).replaceAll("%2F", "/");
    if ("socket" in this.#address) return `nbd+unix:///${path}?socket=${encodeURI(this.#address.socket)}`;
    const bound = this.#server.address();
    const port = typeof bound === "object" && bound !== null ? bound.port : this.#address.port;
    return `nbd://127.0.0.1:${port}/${path}`;
  }

  /** Stops listening, breaks off what is under way and hangs up. */
  async close(): Promise<void> {
    const closed = new Promise((resolve) => {
      this.#server.close(resolve);
    });
    const enough = new AbortController();
    const finished = Promise.all([...this.#connections.values()].map((connection) => connection.shutDown()));
    await Promise.race([finished.then(() => closed), systemClock.sleep(shutdownTime, enough.signal)]);
    for (const socket of this.#connections.keys()) socket.destroy();
    await closed;
    enough.abort();
  }

  async #listen(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<undefined>();
    this.#server.once("error", (error) => reject(cannotListen(this.#address, error)));
    this.#server.once("listening", () => resolve(undefined));
    if ("port" in this.#address) this.#server.listen({ port: this.#address.port, host: "127.0.0.1" });
    else {
      // The socket is made within the call, so that nobody else can open it at any moment.
      const mask = process.umask(0o177);
      try {
        this.#server.listen({ path: this.#address.socket });
      } finally {
        process.umask(mask);
      }
    }
    await promise;
  }

  #accept(socket: net.Socket): void {
    const agreed = new AbortController();
    systemClock.sleep(handshakeTime, agreed.signal).then(
      () => socket.destroy(),
      () => undefined,
    );
    this.#connections.set(socket, new ServerConnection(socket, this.#exports, () => agreed.abort()));
    socket.on("close", () => {
      agreed.abort();
      this.#connections.delete(socket);
    });
  }
}

function cannotListen(address: NbdAddress, error: NodeJS.ErrnoException): StillpointError {
  const where = "socket" in address ? address.socket : `port ${address.port}`;
  const codes = { EADDRINUSE: "busy", EACCES: "storage_denied", EPERM: "storage_denied" } as const;
  const code =
    error.code !== undefined && error.code in codes ? codes[error.code as keyof typeof codes] : "storage_failed";
  return new StillpointError(code, {
    what: `Cannot serve at ${where}: ${error.code === "EADDRINUSE" ? "it is in use" : error.message}`,
    safe: "Nothing was changed.",
    next: "Choose another place.",
    cause: error,
  });
}
